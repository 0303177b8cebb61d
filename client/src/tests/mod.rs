//! The client as its users see it, against servers that misbehave on command.

mod fake;
mod pull;
mod send;
mod tcp;
