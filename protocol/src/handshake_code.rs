//! The form of handshake codes. Devices check it before they ask a server, and the doctor checks it
//! in the same way.

/// Return what is wrong with the form of a handshake code, and what to do; `None` if nothing is
/// wrong. The text continues a sentence that begins with the code.
#[must_use]
pub fn flaw(code: &str) -> Option<String> {
    let (at, strange) = code.chars().enumerate().find(|(_, c)| !c.is_ascii_graphic())?;
    let what = match strange {
        ' ' => "a space".to_owned(),
        other => format!("the character U+{:04X}", u32::from(other)),
    };
    Some(format!(
        "has {what} at position {}: codes have printable ASCII characters and no spaces; copy the \
         code again",
        at + 1
    ))
}
