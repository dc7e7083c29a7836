//! Reading of the files that `seatmeterd usage export` writes, as CSV or as JSON, row by row.

use std::fmt;
use std::io::{BufRead, BufReader, Read};

use seatmeter_protocol::message::{TEXT_BYTES_MAX, UsageKind};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _};

/// The columns of a row that the planner needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// The id of the item that was used.
    pub item_id: String,
    /// The UUID of the device.
    pub device_uuid: String,
    /// The kind of work.
    pub kind: UsageKind,
    /// The symbology or module.
    pub what: u32,
    /// The number of the slot.
    pub slot: u32,
    /// The counted total.
    pub total: u128,
}

/// Pass every row to `each`. The format is recognized by the first character.
///
/// # Errors
/// Returns where the file cannot be read or parsed, or the first error of `each`, as a clause for a
/// sentence.
pub fn for_each(
    file: impl Read,
    mut each: impl FnMut(Row) -> Result<(), String>,
) -> Result<(), String> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut checked = |row: Row| {
        if row.item_id.len() > TEXT_BYTES_MAX || row.device_uuid.len() > TEXT_BYTES_MAX {
            return Err(format!("an id has more than {TEXT_BYTES_MAX} bytes"));
        }
        each(row)
    };
    let begin = file.fill_buf().map_err(|e| e.to_string())?;
    let is_json = begin.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if is_json { read_json(file, checked) } else { read_csv(file, &mut checked) }
}

fn read_csv(
    file: impl Read,
    each: &mut impl FnMut(Row) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = csv::Reader::from_reader(file);
    let heading = reader.headers().map_err(|e| e.to_string())?.clone();
    if !heading.iter().any(|name| name == "device_uuid") {
        return Err(
            "it does not begin as an export does: no column is named device_uuid".to_owned()
        );
    }
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| e.to_string())? {
        let number = record.position().map_or(0, csv::Position::record);
        let row = record.deserialize(Some(&heading)).map_err(|e| e.to_string())?;
        each(row).map_err(|why| format!("record {number}: {why}"))?;
    }
    Ok(())
}

fn read_json(file: impl Read, each: impl FnMut(Row) -> Result<(), String>) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_reader(file);
    json.deserialize_seq(Rows(each)).and_then(|()| json.end()).map_err(|e| e.to_string())
}

/// A visitor that takes rows out of an array one by one, so that the array need not fit into
/// memory.
struct Rows<F>(F);

impl<'de, F: FnMut(Row) -> Result<(), String>> Visitor<'de> for Rows<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of usage rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element()? {
            (self.0)(row).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        for_each(text.as_bytes(), |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    const CSV: &str = "handshake_code,item_id,device_uuid,kind,what,what_name,slot,slot_start,total\r\n\
        CODE,\"an \"\"item\"\", \
        big\",aa,scan,4,CODE_93,7,1970-01-01T00:21:00Z,340282366920938463463374607431768211455\r\n\
        CODE,i,bb,page,1,CORE,8,1970-01-01T00:24:00Z,2\r\n";

    #[test]
    fn both_formats_of_the_export_are_read() {
        let rows = read(CSV).unwrap();
        let first = Row {
            item_id: "an \"item\", big".into(),
            device_uuid: "aa".into(),
            kind: UsageKind::Scan,
            what: 4,
            slot: 7,
            total: u128::MAX,
        };
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], first);
        assert_eq!((rows[1].kind, rows[1].total), (UsageKind::Page, 2));
        let json = r#"
            [{"handshake_code":"C","item_id":"an \"item\", big","device_uuid":"aa","kind":"scan","what":4,
              "what_name":"CODE_93","slot":7,"slot_start":"","total":340282366920938463463374607431768211455}]"#;
        assert_eq!(read(json), Ok(vec![first]));
        assert_eq!(read("[]\n"), Ok(vec![]));
        assert_eq!(read(CSV.lines().next().unwrap()), Ok(vec![]));
    }

    #[test]
    fn what_is_no_export_is_named_with_its_place() {
        for (text, part) in [
            ("", "device_uuid"),
            ("a,b\n1,2\n", "device_uuid"),
            (&CSV.replace("page", "pages"), "record 2"),
            (&CSV.replace(",8,", ",-8,"), "record 2"),
            ("[{\"item_id\":\"i\"}]", "line 1"),
            ("[] []", "line 1"),
            ("[", "line 1"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        let why = for_each(CSV.as_bytes(), |_| Err("enough".to_owned())).unwrap_err();
        assert_eq!(why, "record 1: enough");
    }
}
