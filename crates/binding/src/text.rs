//! Texts from JavaScript. napi's own `String` describes what is no text by `JSON.stringify`, which runs the caller's
//! code and brings whatever the value holds into the message.

#![allow(unsafe_code)]

use std::ops::Deref;

use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{Error, Status, ValueType, sys};

/// A text; half surrogate pairs have become U+FFFD.
pub(crate) struct Text(pub(crate) String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromNapiValue for Text {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let mut kind = 0;
        // SAFETY: the caller gives a value of this call; `kind` outlives it.
        let status = unsafe { sys::napi_typeof(env, value, &raw mut kind) };
        if status != sys::Status::napi_ok || kind != sys::ValueType::napi_string {
            return Err(Error::new(Status::StringExpected, "a text is needed"));
        }
        // SAFETY: as above, and it is a text.
        unsafe { String::from_napi_value(env, value) }.map(Self)
    }
}

impl TypeName for Text {
    fn type_name() -> &'static str {
        "String"
    }

    fn value_type() -> ValueType {
        ValueType::String
    }
}

impl ValidateNapiValue for Text {}
