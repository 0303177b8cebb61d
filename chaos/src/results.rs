//! Runs scenarios one after another; a line for people and a row of JSON for each.

use std::path::Path;
use std::time::Instant;

use loadtest::report;
use serde_json::{Value, json};

use crate::command::Place;
use crate::course::{Course, Figures, Stop};
use crate::table::Scenario;

/// Runs `rows`, each as often as `cycles` says; how many failed. A missed goal of speed is a failure
/// only if `judges_speed`.
pub(crate) async fn run(
    place: &Place,
    rows: Vec<Scenario>,
    judges_speed: bool,
    cycles: impl Fn(&Scenario) -> u32,
) -> Result<usize, String> {
    let seed = place
        .seed
        .unwrap_or_else(|| runtime::clock::now_ms().cast_unsigned());
    let gantry = std::path::absolute(&place.gantry).map_err(|why| why.to_string())?;
    let dir = std::path::absolute(&place.dir).map_err(|why| why.to_string())?;
    let (mut passed, mut skipped, mut failures) = (0, 0, Vec::new());
    let full = full_disk(&dir);
    full.iter().for_each(|warning| report::out(warning));
    for row in rows {
        let mut course = Course {
            id: row.id,
            gantry: gantry.clone(),
            folder: dir.join(row.id),
            seed,
            judges_speed,
            first: place.first,
            cycles: cycles(&row).max(place.first),
            cycle: 0,
            figures: Figures::default(),
        };
        empty_folder(&course.folder)?;
        let begun = Instant::now();
        let ended = if row.needs_root && !rustix::process::geteuid().is_root() {
            Err(Stop::Skipped("needs root".into()))
        } else {
            (row.run)(&mut course).await
        };
        match &ended {
            Ok(()) => passed += 1,
            Err(Stop::Skipped(_)) => skipped += 1,
            Err(Stop::Failed(why)) => failures.push(failure(&course, why)),
        }
        if !matches!(ended, Err(Stop::Failed(_))) {
            drop(std::fs::remove_dir_all(&course.folder));
        }
        tell(&course, &ended, begun.elapsed().as_secs_f64());
        if let Some(path) = &place.json {
            keep(path, row_of(&course, &ended, begun.elapsed().as_secs_f64()))?;
        }
    }
    // Once more, where nobody has to look for them.
    failures.iter().for_each(|failure| report::out(failure));
    if !failures.is_empty() {
        full.iter().for_each(|warning| report::out(warning));
    }
    let failed = failures.len();
    report::out(&format!(
        "{passed} passed, {failed} failed, {skipped} skipped"
    ));
    Ok(failed)
}

/// A disk on which scenarios that write much will look as if messages were lost.
fn full_disk(dir: &Path) -> Option<String> {
    const ENOUGH_FREE: f64 = 0.25;
    // It may not be there yet.
    let disk = dir
        .ancestors()
        .find_map(|dir| rustix::fs::statvfs(dir).ok())?;
    let all = disk.f_blocks - disk.f_bfree + disk.f_bavail;
    let free = disk.f_bavail as f64 / all.max(1) as f64;
    (free < ENOUGH_FREE).then(|| {
        format!(
            "{:.0} % of the disk of {} is free: gantry removes its oldest messages when less than 15 % is",
            free * 100.0,
            dir.display()
        )
    })
}

fn empty_folder(folder: &Path) -> Result<(), String> {
    let made =
        std::fs::create_dir_all(folder).and_then(|()| Ok(folder.read_dir()?.next().is_none()));
    match made {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{} is not empty", folder.display())),
        Err(why) => Err(format!("cannot use {}: {why}", folder.display())),
    }
}

fn tell(course: &Course, ended: &Result<(), Stop>, secs: f64) {
    let figures = &course.figures;
    let id = course.id;
    match ended {
        Ok(()) => {
            let starts = match recovery(figures) {
                Some((p50, max)) => format!("  start p50 {p50:.0} ms max {max:.0} ms"),
                None => String::new(),
            };
            let more = figures.most.iter().map(|(what, most)| {
                let digits = usize::from(most.fract() != 0.0) * 2;
                format!("  {what} {most:.digits$}")
            });
            report::out(&format!(
                "{id} passed in {secs:.0} s: {} cycles, seed {}: acked {} lost {} dup {} reordered {} \
                 altered {} phantom {}{starts}{}",
                course.cycle,
                course.seed,
                figures.acked,
                figures.lost,
                figures.dup,
                figures.reordered,
                figures.altered,
                figures.phantom,
                more.collect::<String>(),
            ));
            for missed in &figures.missed {
                report::out(&format!("{id} missed a goal of speed: {missed}"));
            }
        }
        Err(Stop::Skipped(why)) => report::out(&format!("{id} skipped: {why}")),
        Err(Stop::Failed(why)) => report::out(&failure(course, why)),
    }
}

/// What failed, and the line that repeats it.
fn failure(course: &Course, why: &str) -> String {
    let id = course.id;
    format!(
        "{id} FAILED in cycle {} of {}: {why}\nto repeat: chaos run {id} --seed {} --cycles {} --first {} \
         --gantry {} --dir NEW  (what is left is in {})",
        course.cycle,
        course.cycles,
        course.seed,
        course.cycle.max(1),
        course.first,
        course.gantry.display(),
        course.folder.display(),
    )
}

fn recovery(figures: &Figures) -> Option<(f64, f64)> {
    let max = figures.recovery_ms.iter().copied().reduce(f64::max)?;
    Some((report::median(figures.recovery_ms.clone()), max))
}

fn row_of(course: &Course, ended: &Result<(), Stop>, secs: f64) -> Value {
    let (result, reason) = match ended {
        Ok(()) => ("passed", None),
        Err(Stop::Skipped(why)) => ("skipped", Some(why)),
        Err(Stop::Failed(why)) => ("failed", Some(why)),
    };
    let mut row = json!({
        "test": course.id,
        "result": result,
        "cycles": course.cycle,
        "seed": course.seed,
        "secs": secs.round(),
    });
    if let (Value::Object(row), Ok(Value::Object(figures))) =
        (&mut row, serde_json::to_value(&course.figures))
    {
        row.extend(figures);
    }
    if let Some((p50, max)) = recovery(&course.figures) {
        row["recovery_ms"] = json!({ "p50": p50.round(), "max": max.round() });
    }
    if let Some(reason) = reason {
        row["reason"] = reason.as_str().into();
    }
    row
}

/// Puts the row in the place of the scenario's last one.
fn keep(path: &Path, row: Value) -> Result<(), String> {
    let mut rows: Vec<Value> = std::fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    rows.retain(|old| old["test"] != row["test"]);
    rows.push(row);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|why| why.to_string())?;
    }
    report::write_json(Some(path), &Value::Array(rows)).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_replaces_the_last_one_of_its_scenario_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/reliability.json");
        for (test, cycles) in [("S1", 1), ("S2", 2), ("S1", 3)] {
            keep(&path, json!({ "test": test, "cycles": cycles })).unwrap();
        }
        let rows: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let expected = json!([{"test": "S2", "cycles": 2}, {"test": "S1", "cycles": 3}]);
        assert_eq!(rows, expected);
    }
}
