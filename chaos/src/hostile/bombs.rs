//! H3 and H4: little that becomes much. Nothing but the registration of a broker is ever unpacked
//! by a server; other packed bodies are stored as they are.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::wire::{Wire, frame, http, is_well, native, request, send};
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};

const MEMORY_MAX: u64 = 8 << 20;
const UNPACKED: usize = 1 << 30;
const CPU_MAX: Duration = Duration::from_millis(50);
/// The goal is 10 ms of work; this is from the first byte sent to the answer, on a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_millis(100);

/// Zeros, packed; `layers` times.
fn bomb(layers: usize) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    for _ in 0..UNPACKED / zeros.len() {
        packed.write_all(&zeros).expect("memory takes all");
    }
    let mut bytes = packed.finish().expect("memory takes all");
    for _ in 1..layers {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&bytes).expect("memory takes all");
        bytes = packed.finish().expect("memory takes all");
    }
    bytes
}

pub(super) async fn packed(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "async");
    let mut house = plan.start().await?;
    let bombs = [bomb(1), bomb(2)];
    let fields = [
        ("brokerName", "evil"),
        ("brokerAddr", "127.0.0.1:1"),
        ("clusterName", "c"),
        ("haServerAddr", ""),
        ("brokerId", "0"),
        ("compressed", "true"),
    ];
    for cycle in course.numbers() {
        course.begin(cycle);
        let bytes = &bombs[cycle as usize % 2];
        let before = (house.anonymous_bytes(), house.cpu());
        let mut names = Wire::to(&house.namesrv()).await?;
        let said = names.ask(103, &fields, bytes).await?;
        must(said.code != 0, || "a bomb registered a broker".into())?;
        // Zlib, LZ4 and Zstd in the flags of a message: stored as it came.
        let mut broker = Wire::to(&house.broker()).await?;
        for flags in ["1", "257", "513", "769"] {
            let said = send(&mut broker, &[("b", "packed"), ("f", flags)], bytes).await?;
            must(said.code == 0, || format!("flags {flags}: {}", said.remark))?;
        }
        let head = format!(
            "POST /t/packed HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Encoding: \
             deflate\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        let status = http(&house.http(), &[head.as_bytes(), bytes].concat()).await;
        must(status == Some(415), || format!("HTTP says {status:?}"))?;
        spent(course, &house, before)?;
    }
    is_well(&mut house).await
}

fn spent(course: &mut Course, house: &House, (memory, cpu): (u64, Duration)) -> Result<(), Stop> {
    let grown = house.anonymous_bytes().saturating_sub(memory);
    let worked = house.cpu().saturating_sub(cpu);
    course.figures.most("grown_kib", (grown >> 10) as f64);
    course.figures.most("cpu_ms", worked.as_secs_f64() * 1000.0);
    // Five bodies of a MiB went through buffers that are kept.
    must(grown <= 2 * MEMORY_MAX, || {
        format!("it grew by {grown} bytes")
    })?;
    course.goal(worked <= 6 * CPU_MAX, || {
        format!("it worked for {} ms", worked.as_millis())
    })
}

type Document = (&'static str, Vec<u8>);

fn deep(open: &str, close: &str, depth: usize) -> String {
    open.repeat(depth) + &close.repeat(depth)
}

fn text(text: String) -> Vec<u8> {
    text.into_bytes()
}

fn headers() -> [Document; 11] {
    [
        (
            "a deep header",
            text(format!(r#"{{"code":1,"x":{}}}"#, deep("[", "]", 30_000))),
        ),
        (
            "deep fields",
            text(format!(
                r#"{{"code":1,"extFields":{}}}"#,
                deep("{\"a\":", "}", 10_000)
            )),
        ),
        (
            "a wide header",
            text(format!(
                r#"{{"code":1,"extFields":{{{}"z":1}}}}"#,
                r#""a":1,"#.repeat(10_000)
            )),
        ),
        ("a doubled code", text(r#"{"code":1,"code":9999}"#.into())),
        (
            "a long number",
            text(format!(r#"{{"code":{}}}"#, "1".repeat(60_000))),
        ),
        (
            "a long fraction",
            text(format!(r#"{{"code":1.{}e-5}}"#, "1".repeat(60_000))),
        ),
        (
            "a lone surrogate",
            text(r#"{"code":1,"remark":"\ud800"}"#.into()),
        ),
        ("a byte order mark", text("\u{feff}{\"code\":9999}".into())),
        ("no UTF-8", b"{\"code\":1,\"remark\":\"\xff\"}".to_vec()),
        (
            "utf-16",
            "{\"code\":1}"
                .encode_utf16()
                .flat_map(u16::to_be_bytes)
                .collect(),
        ),
        ("nothing", Vec::new()),
    ]
}

/// For a heartbeat.
fn bodies() -> [Document; 11] {
    [
        ("a deep body", text(deep("[", "]", 100_000))),
        ("deep objects", text(deep("{\"a\":", "}", 100_000))),
        ("deep keys", text(deep("{", "}", 100_000))),
        (
            "a million keys",
            text(format!("{{{}\"z\":1}}", "\"a\":1,".repeat(1 << 20))),
        ),
        (
            "many keys",
            text(format!("{{{}\"z\":1}}", "\"a\":1,".repeat(100_000))),
        ),
        (
            "many producers",
            text(format!(
                r#"{{"producerDataSet":[{}{{}}]}}"#,
                "{},".repeat(300_000)
            )),
        ),
        (
            "a doubled member",
            text(r#"{"clientID":"a","clientID":"b"}"#.into()),
        ),
        (
            "a number of a MiB",
            text(format!(
                r#"{{"heartbeatFingerprint":{}}}"#,
                "1".repeat(1 << 20)
            )),
        ),
        (
            "a fraction",
            text(format!(
                r#"{{"heartbeatFingerprint":0.{}}}"#,
                "1".repeat(1_000_000)
            )),
        ),
        ("surrogates", text(r#"{"clientID":"\ud800\ud800"}"#.into())),
        ("a byte order mark", text("\u{feff}{}".into())),
    ]
}

/// These are odd, but mean something.
const HARMLESS: [&str; 2] = ["many keys", "many producers"];

pub(super) async fn json(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "async");
    let mut house = plan.start().await?;
    for cycle in course.numbers() {
        course.begin(cycle);
        for addr in native(&house) {
            let headers = headers()
                .into_iter()
                .map(|(name, text)| (name, frame(&text, b"")));
            let bodies = bodies().into_iter();
            let bodies = bodies.map(|(name, text)| (name, request(34, &[], &text)));
            for (name, bytes) in headers.chain(bodies) {
                let mut wire = Wire::to(&addr).await?;
                let (begun, cpu) = (Instant::now(), house.cpu());
                wire.send(&bytes).await;
                let said = wire.next(Duration::from_secs(10)).await;
                let took = begun.elapsed();
                course.figures.most("ms", took.as_secs_f64() * 1000.0);
                let worked = house.cpu().saturating_sub(cpu);
                course.figures.most("cpu_ms", worked.as_secs_f64() * 1000.0);
                let is_harmless = HARMLESS.contains(&name);
                course.goal(is_harmless || took <= REFUSED_WITHIN, || {
                    format!("{name}: {} ms", took.as_millis())
                })?;
                let taken = said.is_some_and(|said| said.code == 0);
                must(!taken || is_harmless, || format!("{name} is taken"))?;
            }
        }
        is_well(&mut house).await?;
    }
    Ok(())
}
