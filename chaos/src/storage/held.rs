//! S14: a store that this broker cannot have: another one has it, it may not, or the disk is
//! read-only.

use std::path::Path;

use super::image::Image;
use crate::course::{Course, Stop, must};
use crate::house::Plan;
use crate::load::{Load, check_one};

/// Somebody else (`nobody` on most systems).
const NOBODY: u32 = 65_534;
const LOCKED: i32 = 73;
const NO_ACCESS: i32 = 77;

pub(super) async fn twice(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "sync");
    for cycle in course.numbers() {
        course.begin(cycle);
        let house = plan.start().await?;
        let load = Load::new(std::time::Duration::from_millis(500))
            .ready(course, &house)
            .await?;
        let (loaded, second) = tokio::join!(load.put_on(), plan.start_in_vain());
        loaded?;
        let (code, said) = second?;
        refused(code, LOCKED, &said, &plan.data)?;
        check_one(course, &load.log, &house).await?;
        course.say(said.trim());
    }
    Ok(())
}

pub(super) async fn forbidden(course: &mut Course) -> Result<(), Stop> {
    let image = Image::make(course, 64)?;
    let plan = Plan::new(course, "sync")
        .data(&image.at.join("data"))
        .set("mappedFileSizeCommitLog=4194304");
    for cycle in course.numbers() {
        course.begin(cycle);
        plan.start().await?.kill()?;
        image.remount("ro")?;
        let (code, said) = plan.start_in_vain().await?;
        refused(code, NO_ACCESS, &said, &plan.data)?;
        course.say(said.trim());
        image.remount("rw")?;
        let (code, said) = plan.clone().user(NOBODY).start_in_vain().await?;
        refused(code, NO_ACCESS, &said, &plan.data)?;
        course.say(said.trim());
    }
    Ok(())
}

fn refused(code: Option<i32>, expected: i32, said: &str, data: &Path) -> Result<(), Stop> {
    let names = said.contains(&data.display().to_string()) && said.trim().lines().count() == 1;
    must(code == Some(expected) && names, || {
        format!("exit code {code:?} instead of {expected}, and: {said}")
    })
}
