//! Writes the reference of the properties to where people read it: `make reference`.

use std::{error, fs};

use extension_worker::request::reference::{json_schema, markdown};

const SCHEMA: &str = "templates/properties.schema.json";
const README: &str = "README.md";
const BEGIN: &str = "<!-- made by `make reference` -->\n";
const END: &str = "<!-- end of what is made -->\n";

fn main() -> Result<(), Box<dyn error::Error>> {
    fs::write(SCHEMA, format!("{:#}\n", json_schema()))?;
    let readme = fs::read_to_string(README)?;
    let (before, rest) = readme
        .split_once(BEGIN)
        .ok_or("README.md has no place for the reference")?;
    let (_, after) = rest
        .split_once(END)
        .ok_or("README.md has no end of the reference")?;
    fs::write(README, format!("{before}{BEGIN}{}{END}{after}", markdown()))?;
    Ok(())
}
