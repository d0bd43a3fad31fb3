//! D-Bus messages, as far as questions for properties need them: <https://dbus.freedesktop.org/doc/dbus-specification.html>.

/// No answer of systemd's is longer.
const LONGEST: usize = 1 << 20;

/// The value of a property. Of a structure only the first member counts: the number of a unit's job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
}

/// What came back for a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The value, if it is of a type that we read.
    Value(Option<Value>),
    /// The call failed.
    Error,
    /// No reply but a signal or a call.
    Other,
}

/// A method call with arguments that are strings.
pub(super) fn call(serial: u32, object: &str, interface: &str, member: &str, arguments: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for argument in arguments {
        push_text(&mut body, argument);
    }
    let signature = "s".repeat(arguments.len());
    let mut fields = Vec::new();
    // Path, interface, member, destination: header fields 1, 2, 3 and 6 of the specification.
    for (code, kind, text) in [(1, b'o', object), (2, b's', interface), (3, b's', member), (6, b's', destination(interface))] {
        align(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        push_text(&mut fields, text);
    }
    if !arguments.is_empty() {
        align(&mut fields, 8);
        // The signature of the body: field 8, with a length of one byte.
        fields.extend([8, 1, b'g', 0, u8::try_from(signature.len()).unwrap_or(u8::MAX)]);
        fields.extend(signature.bytes().chain([0]));
    }
    let mut message = vec![b'l', 1, 0, 1];
    push_length(&mut message, body.len());
    message.extend(serial.to_le_bytes());
    push_length(&mut message, fields.len());
    message.extend(fields);
    align(&mut message, 8);
    message.extend(body);
    message
}

/// The bus itself has a name of its own; everything else is asked of systemd.
fn destination(interface: &str) -> &str {
    if interface == "org.freedesktop.DBus" { interface } else { "org.freedesktop.systemd1" }
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    align(out, 4);
    push_length(out, text.len());
    out.extend(text.bytes().chain([0]));
}

fn align(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

/// The first message and its length; `Ok(None)`: it is not all there yet.
///
/// # Errors
/// These are no messages.
pub(super) fn first(bytes: &[u8]) -> Result<Option<(Reply, usize)>, &'static str> {
    let Some(header) = bytes.get(..16) else { return Ok(None) };
    if !matches!(header[0], b'l' | b'B') || header[3] != 1 {
        return Err("no D-Bus message");
    }
    let reader = Reader { bytes, big: header[0] == b'B' };
    let (body, fields) = (reader.u32(4).unwrap_or(u32::MAX), reader.u32(12).unwrap_or(u32::MAX));
    let length = |length: u32| usize::try_from(length).unwrap_or(usize::MAX).min(LONGEST);
    let start = (16 + length(fields)).next_multiple_of(8);
    let end = start + length(body);
    if end >= LONGEST {
        return Err("a D-Bus message that is too long");
    }
    let Some(body) = bytes.get(start..end) else { return Ok(None) };
    let reply = match header[1] {
        2 => Reply::Value(Reader { bytes: body, ..reader }.variant()),
        3 => Reply::Error,
        _ => Reply::Other,
    };
    Ok(Some((reply, end)))
}

/// Reads values at places within a part of a message that begins at a multiple of eight.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Reader<'_> {
    fn u32(self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u64(self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at + 8)?.try_into().ok()?;
        Some(if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    fn text(self, at: usize) -> Option<String> {
        let length = usize::try_from(self.u32(at)?).ok()?;
        let bytes = self.bytes.get(at + 4..)?.get(..length)?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// A variant: a signature, and a value at the next place that suits it.
    fn variant(self) -> Option<Value> {
        let length = usize::from(*self.bytes.first()?);
        let signature = self.bytes.get(1..=length)?;
        let after = length + 2;
        match signature {
            b"s" | b"o" => self.text(after.next_multiple_of(4)).map(Value::Text),
            b"u" => self.u32(after.next_multiple_of(4)).map(|number| Value::Number(number.into())),
            b"t" => self.u64(after.next_multiple_of(8)).map(Value::Number),
            b"(uo)" => self.u32(after.next_multiple_of(8)).map(|number| Value::Number(number.into())),
            _ => None,
        }
    }
}

/// Answers as systemd gives them, for tests.
#[cfg(test)]
pub(super) mod answers {
    use super::*;

    /// A reply with a variant of this signature.
    pub(crate) fn value(signature: &str, value: &Value) -> Vec<u8> {
        let mut body = vec![u8::try_from(signature.len()).unwrap()];
        body.extend(signature.bytes().chain([0]));
        match value {
            Value::Text(text) => push_text(&mut body, text),
            Value::Number(number) if signature == "t" => {
                align(&mut body, 8);
                body.extend(number.to_le_bytes());
            }
            Value::Number(number) => {
                align(&mut body, if signature == "u" { 4 } else { 8 });
                body.extend(u32::try_from(*number).unwrap().to_le_bytes());
                if signature == "(uo)" {
                    push_text(&mut body, "/org/freedesktop/systemd1/job/1");
                }
            }
        }
        message(2, &body)
    }

    /// A message of this type: 2 a reply, 3 an error, 4 a signal.
    pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![b'l', kind, 1, 1];
        push_length(&mut message, body.len());
        message.extend(7_u32.to_le_bytes());
        // One field, the serial of the call that is answered: 5.
        push_length(&mut message, 8);
        message.extend([5, 1, b'u', 0, 1, 0, 0, 0]);
        message.extend(body);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_what_the_specification_says() {
        let hello = call(1, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", &[]);
        // As `dbus-monitor --pcap` shows the first message of busctl(1), with the fields in another order.
        let expected = b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x6d\0\0\0\
            \x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0\
            \x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0\
            \x03\x01s\0\x05\0\0\0Hello\0\0\0\
            \x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0";
        assert_eq!(hello, expected);
        let get = call(2, "/a", "b.c", "Get", &["x", "yz"]);
        assert!(get.ends_with(b"\x08\x01g\0\x02ss\0\x01\0\0\0x\0\0\0\x02\0\0\0yz\0"), "{get:?}");
        assert_eq!(u32::from_le_bytes(get[4..8].try_into().unwrap()), 15);
    }

    #[track_caller]
    fn check(signature: &str, value: Value) {
        let message = answers::value(signature, &value);
        assert_eq!(first(&message), Ok(Some((Reply::Value(Some(value)), message.len()))));
        for end in 0..message.len() {
            assert_eq!(first(&message[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn values_of_each_type_are_read() {
        check("s", Value::Text("active".to_owned()));
        check("t", Value::Number(u64::MAX));
        check("u", Value::Number(4711));
        check("(uo)", Value::Number(12));
        let other = answers::message(2, b"\x02as\0\0\0\0\0\0\0\0\0");
        assert_eq!(first(&other).unwrap().unwrap().0, Reply::Value(None));
        assert_eq!(first(&answers::message(3, b"")).unwrap().unwrap().0, Reply::Error);
        assert_eq!(first(&answers::message(4, b"x")).unwrap().unwrap().0, Reply::Other);
    }

    #[test]
    fn what_is_no_message_is_refused_and_nothing_panics() {
        assert!(first(b"HTTP/1.1 400 Bad Request").is_err());
        let mut long = answers::message(2, b"");
        long[7] = 0xff;
        assert!(first(&long).is_err());
        let good = answers::value("s", &Value::Text("active".to_owned()));
        for place in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[place] = byte;
                let _ = first(&bad);
            }
        }
    }
}
