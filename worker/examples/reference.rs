//! Writes the generated parts of the manual to where people read them: `make reference`.

use std::{error, fs};

use extension_worker::plan::recipes;
use extension_worker::postgres_error::reference as sqlstates;
use extension_worker::request::reference as properties;

const BEGIN: &str = "<!-- made by `make reference` -->\n";
const END: &str = "<!-- end of what is made -->\n";

fn main() -> Result<(), Box<dyn error::Error>> {
    let schema = format!("{:#}\n", properties::json_schema());
    fs::write("templates/properties.schema.json", schema)?;
    write("docs/properties.md", &properties::markdown())?;
    write("docs/sqlstates.md", &sqlstates::markdown())?;
    write("docs/update-recipes.md", &recipes::markdown())
}

/// Replaces what is between the two marks of a page.
fn write(page: &str, made: &str) -> Result<(), Box<dyn error::Error>> {
    let text = fs::read_to_string(page)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .ok_or_else(|| format!("{page} has no place for the reference"))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or_else(|| format!("{page} has no end of the reference"))?;
    fs::write(page, format!("{before}{BEGIN}{made}{END}{after}"))?;
    Ok(())
}
