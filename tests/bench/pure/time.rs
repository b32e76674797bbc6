//! How long the pure parts of one in-sync request take: `make pure`.

mod in_sync;
mod parts;

use criterion::Criterion;

use in_sync::InSync;

fn main() {
    let request = InSync::new();
    let mut criterion = Criterion::default().configure_from_args();
    for (name, part) in parts::PARTS {
        criterion.bench_function(name, |bencher| bencher.iter(|| part(&request)));
    }
    criterion.final_summary();
}
