//! The table: what each contestant needed, and what the worker should need beside the others.

use serde_json::{Value, json};

use super::contestant::Contestant;
use super::{Load, Sample};

type Samples = [(Contestant, Vec<Sample>); 4];
/// Figures of all contestants, in their order.
type Values = [f64; 4];

struct Figure {
    what: &'static str,
    of: fn(&[Sample]) -> f64,
    target: &'static str,
    /// The limit, from the others' figures.
    limit: fn(&Values) -> f64,
    higher_is_better: bool,
}

const fn most(
    what: &'static str,
    of: fn(&[Sample]) -> f64,
    target: &'static str,
    limit: fn(&Values) -> f64,
) -> Figure {
    Figure {
        what,
        of,
        target,
        limit,
        higher_is_better: false,
    }
}

const fn least(
    what: &'static str,
    of: fn(&[Sample]) -> f64,
    target: &'static str,
    limit: fn(&Values) -> f64,
) -> Figure {
    Figure {
        higher_is_better: true,
        ..most(what, of, target, limit)
    }
}

const LOOP: usize = 0;
const NODE: usize = 1;
const WORKER: usize = 3;

/// In the order and with the targets of the comparison.
const FIGURES: [Figure; 14] = [
    least(
        "in-sync requests/s",
        |s| median(s, |s| s.in_sync.rate()),
        ">= 3 x Node, 0.5 x the loop",
        |v| f64::max(3.0 * v[NODE], 0.5 * v[LOOP]),
    ),
    most(
        "PostgreSQL CPU per in-sync request, ms",
        |s| postgres_cpu(s, |s| &s.in_sync),
        "<= 0.4",
        |_| 0.4,
    ),
    most(
        "worker CPU per in-sync request, ms",
        |s| cpu(s, |s| &s.in_sync),
        "<= 2 x the loop",
        |v| 2.0 * v[LOOP],
    ),
    most(
        "latency at light load, p50, ms",
        |s| percentile(s, |s| &s.light, 0.5),
        "<= 1.25 x the loop",
        |v| 1.25 * v[LOOP],
    ),
    most(
        "latency at light load, p99, ms",
        |s| percentile(s, |s| &s.light, 0.99),
        "<= 1.5 x the loop",
        |v| 1.5 * v[LOOP],
    ),
    most(
        "first request to a database, p50, ms",
        |s| percentile(s, |s| &s.first, 0.5),
        "<= 1.3 x the loop",
        |v| 1.3 * v[LOOP],
    ),
    most(
        "first request to a database, p99, ms",
        |s| percentile(s, |s| &s.first, 0.99),
        "none",
        |_| f64::INFINITY,
    ),
    least(
        "Creates/s",
        |s| median(s, |s| s.creates.rate()),
        ">= 0.85 x the loop, Node",
        |v| f64::max(v[NODE], 0.85 * v[LOOP]),
    ),
    most(
        "PostgreSQL CPU per Create, ms",
        |s| postgres_cpu(s, |s| &s.creates),
        "<= 1.3 x the loop",
        |v| 1.3 * v[LOOP],
    ),
    most(
        "worker CPU per Create, ms",
        |s| cpu(s, |s| &s.creates),
        "<= 1.5 x the loop",
        |v| 1.5 * v[LOOP],
    ),
    most(
        "resident at rest, MB",
        |s| median(s, |s| s.rest_mb),
        "<= 12",
        |_| 12.0,
    ),
    most(
        "resident at the peak, MB",
        |s| median(s, |s| s.peak_mb),
        "<= 18",
        |_| 18.0,
    ),
    most(
        "all CPU per in-sync request, ms",
        |s| cpu(s, |s| &s.in_sync) + postgres_cpu(s, |s| &s.in_sync),
        "none",
        |_| f64::INFINITY,
    ),
    most(
        "all CPU per Create, ms",
        |s| cpu(s, |s| &s.creates) + postgres_cpu(s, |s| &s.creates),
        "none",
        |_| f64::INFINITY,
    ),
];

impl Load {
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.wall * 1e3
    }
}

/// Prints the table; returns it for the file.
pub(crate) fn print(samples: &Samples) -> Value {
    print!("{:40}", "");
    for (which, _) in samples {
        print!(" {:>23}", which.name());
    }
    println!("  target of this worker");
    let rows = FIGURES.iter().map(|figure| {
        let values = samples.each_ref().map(|(_, samples)| (figure.of)(samples));
        let limit = (figure.limit)(&values);
        let missed = if figure.higher_is_better {
            values[WORKER] < limit
        } else {
            values[WORKER] > limit
        };
        print!("{:40}", figure.what);
        for value in values {
            print!(" {value:>23.2}");
        }
        let target = if limit.is_finite() {
            format!(
                "  {} ({limit:.2}){}",
                figure.target,
                if missed { "  missed" } else { "" }
            )
        } else {
            String::new()
        };
        println!("{target}");
        json!({
            "figure": figure.what,
            "values": values,
            "target": figure.target,
            "limit": limit.is_finite().then_some(limit),
            "missed": missed,
            "higher_is_better": figure.higher_is_better,
        })
    });
    rows.collect()
}

/// All that was measured, and the table.
pub(crate) fn raw(samples: &Samples, figures: Value) -> Value {
    let load = |load: &Load| {
        json!({
            "requests": load.requests,
            "wall_ms": load.wall,
            "cpu_ms": load.cpu,
            "postgresql_cpu_ms": load.postgres_cpu,
        })
    };
    let rounds = |samples: &[Sample]| -> Value {
        let rounds = samples.iter().map(|sample| {
            json!({
                "rest_mb": sample.rest_mb,
                "peak_mb": sample.peak_mb,
                "first_ms": sample.first,
                "light_ms": sample.light,
                "in_sync": load(&sample.in_sync),
                "creates": load(&sample.creates),
            })
        });
        rounds.collect()
    };
    json!({
        "contestants": samples.each_ref().map(|(which, _)| which.name()),
        "figures": figures,
        "rounds": samples.each_ref().map(|(_, samples)| rounds(samples)),
    })
}

pub(super) fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of all rounds' latencies together.
pub(super) fn percentile(samples: &[Sample], of: impl Fn(&Sample) -> &Vec<f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = samples
        .iter()
        .flat_map(|sample| of(sample).clone())
        .collect();
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share).ceil() as usize;
    values[place.saturating_sub(1)]
}

/// Of all rounds together: the kernel counts a process's time in hundredths of a second.
pub(super) fn cpu(samples: &[Sample], of: impl Fn(&Sample) -> &Load) -> f64 {
    each(samples, |sample| (of(sample).cpu, of(sample).requests))
}

pub(super) fn postgres_cpu(samples: &[Sample], of: impl Fn(&Sample) -> &Load) -> f64 {
    each(samples, |sample| {
        (of(sample).postgres_cpu, of(sample).requests)
    })
}

fn each(samples: &[Sample], of: impl Fn(&Sample) -> (f64, usize)) -> f64 {
    let (mut time, mut requests) = (0.0, 0);
    for sample in samples {
        let (more, handled) = of(sample);
        time += more;
        requests += handled;
    }
    time / requests as f64
}
