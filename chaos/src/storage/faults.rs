//! S9: one call of the file system goes wrong, of every kind and in every kind of file. The broker
//! goes on or ends with exit code 70; it never panics, never acknowledges what it lost, and the
//! store opens afterwards.

use std::time::Duration;

use rustix::process::Signal;

use crate::course::{Course, STUCK, Stop, must};
use crate::dice::Dice;
use crate::house::{House, Plan};
use crate::load::{Load, check, check_one};
use crate::promised::Promised;
use crate::shim::{Call, EACCES, EIO, ENOSPC, Fault, Shim};

const LOAD: Duration = Duration::from_millis(1200);
/// Messages a second: the store grows over all cycles, and all of it is read again.
const RATE: f64 = 5000.0;
/// Small, so that new ones are made all the time.
const SEGMENT: &str = "mappedFileSizeCommitLog=16777216";
/// What it may end with when it cannot start or stop as it should: all say what to do.
const REFUSED: [i32; 6] = [70, 71, 74, 75, 77, 78];

/// When it goes wrong, and what must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Under load; it must end with exit code 70.
    LoadEnds,
    /// Under load; it must go on.
    LoadLives,
    /// Under load; either.
    Load,
    /// While it starts.
    Start,
    /// While it stops.
    Stop,
}

/// One kind of fault, at any of the first `among` calls.
struct Case {
    when: When,
    call: Call,
    error: u64,
    /// So many percent are written before.
    some: u64,
    times: u64,
    within: &'static str,
    among: u64,
}

const fn case(when: When, call: Call, error: u64, within: &'static str, among: u64) -> Case {
    Case {
        when,
        call,
        error,
        some: 0,
        times: 1,
        within,
        among,
    }
}

const fn after_some(some: u64, of: Case) -> Case {
    Case { some, ..of }
}

const fn often(times: u64, of: Case) -> Case {
    Case { times, ..of }
}

const CASES: &[Case] = &[
    case(When::LoadEnds, Call::Write, EIO, "commitlog/0", 300),
    case(When::LoadEnds, Call::Write, ENOSPC, "commitlog/0", 300),
    after_some(
        50,
        case(When::LoadEnds, Call::Write, EIO, "commitlog/0", 300),
    ),
    after_some(
        50,
        case(When::LoadLives, Call::Write, 0, "commitlog/0", 300),
    ),
    case(When::LoadEnds, Call::Sync, EIO, "commitlog/0", 10),
    often(
        9,
        case(When::LoadLives, Call::Fill, ENOSPC, "commitlog/0", 9),
    ),
    case(When::LoadLives, Call::Fill, EIO, "commitlog/0", 9),
    case(When::LoadLives, Call::Truncate, EIO, "commitlog/0", 2),
    case(When::LoadLives, Call::Truncate, ENOSPC, "commitlog/0", 2),
    case(When::LoadLives, Call::Open, EIO, "commitlog/0", 2),
    case(When::LoadLives, Call::Rename, EIO, "commitlog/0", 2),
    case(When::LoadLives, Call::Write, EIO, "consumequeue/", 20),
    after_some(
        30,
        case(When::LoadLives, Call::Write, ENOSPC, "consumequeue/", 20),
    ),
    after_some(
        30,
        case(When::LoadLives, Call::Write, 0, "consumequeue/", 20),
    ),
    case(When::Load, Call::Sync, EIO, "consumequeue/", 10),
    case(When::LoadLives, Call::Open, EIO, "consumequeue/", 4),
    case(When::LoadLives, Call::Mkdir, EACCES, "consumequeue/", 4),
    case(When::LoadLives, Call::Write, EIO, "index/", 3),
    case(When::Load, Call::Sync, EIO, "index/", 2),
    case(When::LoadLives, Call::Write, EIO, "checkpoint", 2),
    case(When::LoadLives, Call::Sync, EIO, "checkpoint", 2),
    after_some(
        50,
        case(When::LoadLives, Call::Write, ENOSPC, ".journal", 20),
    ),
    case(When::LoadLives, Call::Sync, EIO, ".journal", 10),
    after_some(50, case(When::LoadLives, Call::Write, EIO, ".json.tmp", 10)),
    case(When::LoadLives, Call::Sync, EIO, ".json.tmp", 10),
    case(When::LoadLives, Call::Rename, EIO, "config/", 10),
    case(When::LoadLives, Call::Truncate, EIO, ".journal", 5),
    case(When::Start, Call::Open, EIO, "", 40),
    case(When::Start, Call::Open, EACCES, "", 40),
    case(When::Start, Call::Read, EIO, "", 30),
    case(When::Start, Call::Write, ENOSPC, "", 12),
    case(When::Start, Call::Sync, EIO, "", 12),
    case(When::Start, Call::Rename, EIO, "", 4),
    case(When::Start, Call::Truncate, EIO, "", 4),
    case(When::Start, Call::Mkdir, ENOSPC, "", 4),
    case(When::Start, Call::Unlink, EIO, "", 3),
    case(When::Stop, Call::Write, ENOSPC, "queues.snapshot", 1),
    case(When::Stop, Call::Sync, EIO, "", 6),
    case(When::Stop, Call::Unlink, EIO, "", 2),
    case(When::Stop, Call::Rename, EIO, "", 3),
];

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let shim = Shim::compile(course)?;
    let (mut logs, mut promised) = (Vec::new(), Promised::default());
    // Something that must be there after every fault.
    let plans = ["sync", "async"].map(|flush| Plan::new(course, flush).set(SEGMENT));
    let mut never = 0.0;
    for cycle in course.numbers() {
        let mut dice = course.begin(cycle);
        let number = usize::try_from(cycle - 1).unwrap_or(0) % CASES.len();
        let (Some(case), Some(plan)) = (
            CASES.get(number),
            plans.get(usize::try_from(dice.within(0..2)).unwrap_or(0)),
        ) else {
            continue;
        };
        let attempt = Attempt {
            case,
            fault: fault(case, &mut dice),
            shim: &shim,
            plan,
        };
        logs.extend(attempt.make(course, &mut promised).await?);
        let saw = shim.saw()?;
        never += f64::from(u8::from(saw.hits == 0));
        let mut house = plan.start().await?;
        course.figures.recovered(house.ready);
        if let Some(log) = logs.last() {
            check_one(course, log, &house).await?;
            promised.check(&house).await?;
        }
        plan.audit()?;
        course.say(format!(
            "{:?} {:?} {} {:?}: {} of {} calls went wrong",
            case.when, case.call, case.error, case.within, saw.hits, saw.calls
        ));
        // One store for all cases: also starts go wrong where there is much to find.
        let is_last = number + 1 == CASES.len() || cycle == course.cycles;
        if is_last && !logs.is_empty() {
            check(&logs, &house).await?;
        }
        house.kill()?;
        if is_last {
            plan.forget_store()?;
            (logs, promised) = (Vec::new(), Promised::default());
        }
    }
    course.figures.most("never_came", never);
    Ok(())
}

fn fault(case: &Case, dice: &mut Dice) -> Fault {
    Fault {
        times: case.times,
        some: case.some,
        ..Fault::new(
            case.call,
            dice.within(1..case.among + 1),
            case.error,
            case.within,
        )
    }
}

struct Attempt<'a> {
    case: &'a Case,
    fault: Fault,
    shim: &'a Shim,
    plan: &'a Plan,
}

impl Attempt<'_> {
    /// Lets it happen; the log of what was acknowledged meanwhile.
    async fn make(
        &self,
        course: &Course,
        promised: &mut Promised,
    ) -> Result<Option<std::path::PathBuf>, Stop> {
        self.shim.clear()?;
        let broken = self.shim.within(self.plan.clone());
        if self.case.when == When::Start {
            self.shim.set(&self.fault)?;
            broken.forget_ports();
            let mut house = broken.spawn()?;
            let ready = house.ready().await?;
            Self::no_panic(&house)?;
            return match ready {
                Ok(()) => Ok(None),
                Err(status) => {
                    let allowed = status.code().is_some_and(|code| REFUSED.contains(&code));
                    must(allowed, || format!("{status}: {}", house.said()))?;
                    Ok(None)
                }
            };
        }
        let mut house = broken.start().await?;
        let mut load = Load::new(LOAD);
        load.shape.rate = Some(RATE);
        let load = load.ready(course, &house).await?;
        if self.case.when != When::Stop {
            self.shim.set(&self.fault)?;
        }
        let (loaded, ()) = tokio::join!(load.put_on(), promised.ask_for_more(&load.client, LOAD));
        loaded?;
        let hit = self.shim.saw()?.hit_at;
        let ended = !house.is_running();
        match self.case.when {
            // Room that cannot be made is told and tried again; no message was in it yet.
            When::LoadEnds if house.said().contains("cannot make room in the log") => {}
            When::LoadEnds if hit.is_some() => {
                let code = house.ends(STUCK).await?;
                must(code == Some(70), || {
                    format!("exit code {code:?}: {}", house.said())
                })?;
            }
            When::LoadLives => must(!ended, || format!("it ended: {}", house.said()))?,
            When::Stop => {
                self.shim.set(&self.fault)?;
                house.signal(Signal::TERM)?;
                let code = house.ends(STUCK).await?;
                must(
                    code == Some(0) || code.is_some_and(|code| REFUSED.contains(&code)),
                    || format!("exit code {code:?}: {}", house.said()),
                )?;
            }
            _ => {}
        }
        Self::no_panic(&house)?;
        Ok(Some(load.log))
    }

    fn no_panic(house: &House) -> Result<(), Stop> {
        let said = house.said();
        must(!said.contains("panicked"), || said.clone())
    }
}
