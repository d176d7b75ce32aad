//! Writing JSON by hand, field by field.
//!
//! The canonical types are not `Serialize` on purpose, and a wire struct per
//! dialect and direction would say each field twice. The writer places commas
//! and escapes strings; callers open and close what they write.

use std::fmt::{Display, Write};

use bytes::{BufMut, Bytes, BytesMut};

pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
}

/// One whole JSON text.
pub(crate) fn text(write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    write(&mut Writer { out: &mut out });
    out.freeze()
}

impl<'a> Writer<'a> {
    pub(crate) fn on(out: &'a mut BytesMut) -> Writer<'a> {
        Writer { out }
    }
    /// A value in a list needs a comma unless it is the first. No value ends in
    /// one of these bytes, so the last byte tells.
    fn comma(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':' | b',' | b' ' | b'\n')) {
            self.out.put_u8(b',');
        }
    }
    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.str(key);
        self.out.put_u8(b':');
        self
    }
    pub(crate) fn object(&mut self, fields: impl FnOnce(&mut Writer<'_>)) {
        self.comma();
        self.out.put_u8(b'{');
        fields(self);
        self.out.put_u8(b'}');
    }
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Writer<'_>, T),
    ) {
        self.comma();
        self.out.put_u8(b'[');
        for i in items {
            item(self, i);
        }
        self.out.put_u8(b']');
    }
    pub(crate) fn str(&mut self, text: &str) {
        self.comma();
        if text.bytes().fold(false, |odd, b| odd | (b < 0x20) | (b == b'"') | (b == b'\\')) {
            serde_json::to_writer((&mut *self.out).writer(), text).expect("writing to memory");
        } else {
            self.out.put_u8(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.put_u8(b'"');
        }
    }
    /// JSON text that was checked when it was read.
    pub(crate) fn raw(&mut self, json: &[u8]) {
        self.comma();
        self.out.extend_from_slice(json);
    }
    /// A number or a bool.
    pub(crate) fn num(&mut self, value: impl Display) {
        self.comma();
        write!(self.out, "{value}").expect("writing to memory");
    }
    /// A float as short as it reads back; what JSON cannot say becomes `null`.
    pub(crate) fn float(&mut self, value: f32) {
        if value.is_finite() { self.num(value) } else { self.null() }
    }
    pub(crate) fn null(&mut self) {
        self.raw(b"null");
    }

    // Fields, for the common shapes.
    pub(crate) fn field_str(&mut self, key: &str, value: &str) {
        self.key(key).str(value);
    }
    pub(crate) fn field_num(&mut self, key: &str, value: impl Display) {
        self.key(key).num(value);
    }
    pub(crate) fn field_raw(&mut self, key: &str, json: impl AsRef<[u8]>) {
        self.key(key).raw(json.as_ref());
    }
    pub(crate) fn field_object(&mut self, key: &str, fields: impl FnOnce(&mut Writer<'_>)) {
        self.key(key).object(fields);
    }
    pub(crate) fn some_str(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.field_str(key, value);
        }
    }
    pub(crate) fn some_num<T: Display>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.field_num(key, value);
        }
    }
}

/// JSON text from a person or a model, if it is an object; `{}` otherwise.
pub(crate) fn object_or_empty(json: &str) -> &str {
    let json = json.trim();
    if crate::scan::walk(json.as_bytes(), |_, _, _| Ok(())).is_ok() { json } else { "{}" }
}
