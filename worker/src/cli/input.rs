//! Files that are named on the command line.

use std::fs::File;
use std::io::{self, Read};

/// What editors write in front of a text to say in which order its bytes are.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file, or with `-` of standard input, without its byte order mark.
///
/// # Errors
/// Where it cannot be read, or is not UTF-8.
pub(crate) fn read(file: &str) -> io::Result<String> {
    if file == "-" {
        text_of(io::stdin())
    } else {
        text_of(File::open(file)?)
    }
}

fn text_of(mut source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.read_to_string(&mut text)?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_order_mark_is_no_part_of_the_text() {
        for (bytes, text) in [
            (&b"\xef\xbb\xbf[1]"[..], "[1]"),
            (b"[1]", "[1]"),
            (b"\xef\xbb\xbf", ""),
            ("[\"\u{feff}\"]".as_bytes(), "[\"\u{feff}\"]"),
        ] {
            assert_eq!(text_of(bytes).unwrap(), text);
        }
        // As some editors write it.
        let utf16 = b"\xff\xfe[\x001\x00]\x00";
        assert_eq!(
            text_of(&utf16[..]).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
