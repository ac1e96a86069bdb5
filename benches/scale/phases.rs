//! The phases, one after the other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::boxes;
use crate::measure::{Flow, peak};
use crate::rig::{Rig, Row};

/// How long boxes make alerts before something is done to them.
const BEFORE: Duration = Duration::from_secs(3);
/// A moment in which what was just connected is told.
const MOMENT: Duration = Duration::from_secs(2);

/// All of them. `on` is told each when it is over.
pub async fn run(rig: &mut Rig, on: &mut dyn FnMut(&Row)) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut over = |row: Row| {
        on(&row);
        rows.push(row);
    };
    over(connect(rig).await?);
    let (row, _) = idle(rig, "idle, all connected at once").await?;
    over(row);
    for alerts in rig.asked.bursts.clone() {
        over(burst(rig, alerts).await?);
    }
    over(storm(rig, "broker killed, back at once", Duration::ZERO).await?);
    let (row, rate) = idle(rig, "idle, behind that storm").await?;
    over(row);
    over(steady(rig, rate).await);
    let down = rig.asked.down;
    over(storm(rig, &format!("broker killed, away {} s", down.as_secs_f64()), down).await?);
    over(outage(rig).await?);
    Ok(rows)
}

/// All boxes connect at one moment, as after a power cut of a whole town.
async fn connect(rig: &mut Rig) -> Result<Row> {
    rig.until(|rig| rig.centre.counts().connected > 0).await.context("the centre has no session")?;
    let begun = rig.begin();
    let (cameras, clock) = (rig.asked.cameras, rig.clock.clone());
    for one in &mut rig.boxes {
        one.connect(cameras, &clock)?;
    }
    rig.until(|rig| rig.connected() == rig.boxes.len()).await.context("not all boxes have a session")?;
    let more = rig.storm(begun.at);
    sleep(MOMENT).await;
    Ok(rig.end("all connect at once", &begun, more))
}

/// Nothing happens; what that costs, and bytes a second of all boxes.
async fn idle(rig: &mut Rig, name: &str) -> Result<(Row, Option<Flow>)> {
    let begun = rig.begin();
    sleep(rig.asked.idle).await;
    let seconds = begun.at.elapsed().as_secs_f64();
    let flow = rig.flow(&begun);
    let health: Vec<u64> = rig.centre.counts().health_ms.into_iter().filter(|at| *at >= begun.utc_ms).collect();
    let mut more = vec![("health heard", health.len() as f64), ("most health in 1 s", peak(health) as f64)];
    let rate = flow.map(|flow| flow.per(seconds));
    if let Some(rate) = rate {
        let hour = rate.times(3_600.0).per(rig.boxes.len() as f64);
        more.extend([("KB up a box and hour", hour.up / 1e3), ("KB down a box and hour", hour.down / 1e3)]);
    }
    Ok((rig.end(name, &begun, more), rate))
}

/// Each box makes an alert now and then.
async fn steady(rig: &mut Rig, idle: Option<Flow>) -> Row {
    let begun = rig.begin();
    let checkpoints = rig.centre.counts().checkpoints;
    rig.feeder.pace(rig.boxes.len(), rig.asked.every);
    sleep(rig.asked.steady).await;
    rig.feeder.pause();
    rig.settle().await;
    let seconds = begun.at.elapsed().as_secs_f64();
    let flow = rig.flow(&begun);
    let mut row = rig.end("steady", &begun, Vec::new());
    row.more.push(("alerts a second", row.alerts as f64 / rig.asked.steady.as_secs_f64()));
    row.more.push(("checkpoints", (rig.centre.counts().checkpoints - checkpoints) as f64));
    if let (Some(flow), Some(idle)) = (flow, idle) {
        let one = flow.less(idle.times(seconds)).per(row.alerts.max(1) as f64);
        row.more.extend([("bytes up an alert", one.up), ("bytes down an alert", one.down)]);
    }
    row
}

/// Every box makes so many alerts at one moment.
async fn burst(rig: &mut Rig, alerts: u32) -> Result<Row> {
    let begun = rig.begin();
    let (book, clock) = (std::sync::Arc::clone(&rig.book), rig.clock.clone());
    let to: Vec<_> = rig.boxes.iter().map(boxes::SimBox::hits).collect();
    let making = move || -> Result<()> {
        for _ in 0..alerts {
            for (n, to) in to.iter().enumerate() {
                boxes::hit(&book, n, to, &clock)?;
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(making).await??;
    let made = begun.at.elapsed();
    rig.settle().await;
    let all = begun.at.elapsed();
    let mut row = rig.end(&format!("{alerts} a box at once"), &begun, Vec::new());
    row.more.extend([
        ("made within s", made.as_secs_f64()),
        ("all acknowledged after s", all.as_secs_f64()),
        ("alerts a second", row.alerts as f64 / all.as_secs_f64()),
    ]);
    Ok(row)
}

/// The broker is killed and comes back after `down`; everyone comes back while alerts go on being made.
async fn storm(rig: &mut Rig, name: &str, down: Duration) -> Result<Row> {
    let begun = rig.begin();
    rig.feeder.pace(rig.boxes.len(), rig.asked.every);
    sleep(BEFORE).await;
    rig.broker.kill();
    sleep(down).await;
    let back = Instant::now();
    rig.broker.restart()?;
    // Of its own log: a box may not have noticed yet that it was gone.
    let all = rig.boxes.len() + 1;
    let is_back = |rig: &Rig| {
        let sessions = rig.broker.said(back).iter().filter(|(_, what)| *what == crate::broker::Said::Session).count();
        sessions >= all && rig.connected() == rig.boxes.len()
    };
    let came = rig.until(is_back).await;
    let mut more = rig.storm(back);
    sleep(MOMENT).await;
    rig.feeder.pause();
    rig.settle().await;
    more.push(("caught up after s", back.elapsed().as_secs_f64()));
    more.push(("boxes that stayed away", if came.is_some() { 0.0 } else { (all - 1 - rig.connected()) as f64 }));
    Ok(rig.end(name, &begun, more))
}

/// The centre is killed and comes back.
async fn outage(rig: &mut Rig) -> Result<Row> {
    let begun = rig.begin();
    rig.feeder.pace(rig.boxes.len(), rig.asked.every);
    sleep(BEFORE).await;
    rig.centre.kill();
    sleep(rig.asked.away).await;
    let sessions = rig.centre.counts().connected;
    let back = Instant::now();
    rig.centre.restart()?;
    rig.until(|rig| rig.centre.counts().connected > sessions).await.context("the centre did not come back")?;
    sleep(MOMENT).await;
    rig.feeder.pause();
    rig.settle().await;
    let more = vec![("caught up after s", back.elapsed().as_secs_f64())];
    Ok(rig.end(&format!("centre killed, away {} s", rig.asked.away.as_secs_f64()), &begun, more))
}
