//! Does a part of one in-sync request so often and ends: `count parse 100`. valgrind counts its instructions, see
//! `tests/instructions.py`.

mod in_sync;
mod parts;

use in_sync::InSync;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, turns] = arguments.as_slice() else {
        panic!("{arguments:?} is not the name of a part and a number");
    };
    let request = InSync::new();
    let (_, part) = parts::PARTS.iter().find(|(part, _)| part == name).unwrap();
    for _ in 0..turns.parse().unwrap() {
        part(&request);
    }
}
