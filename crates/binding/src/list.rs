//! Lists from JavaScript. napi's own `Vec` reserves memory for as many items as a list claims to have, which ends
//! the process for a sparse one; and it takes the address of one item before it reads the next, whose getter may
//! move or free it.

#![allow(unsafe_code)]

use napi::bindgen_prelude::{Array, FromNapiValue, TypeName, Unknown, ValidateNapiValue};
use napi::{ValueType, sys};

use crate::bytes::ByteArray;
use crate::failure::Failure;
use crate::text::Text;

/// What `hashMany` takes at once; `verifyMany` has four parts for each of its 65,536.
const MAX_ITEMS: u32 = 1 << 20;
/// Hosts and addresses.
const MAX_TEXTS: u32 = 4096;
/// Keys and ids have 32.
const MAX_COPIED_BYTES: usize = 1024;

/// Byte arrays. All items are read with the arguments of the call; their addresses are taken in the call's body,
/// when no JavaScript runs any more.
pub(crate) struct ByteList<'env> {
    /// Bounded by [`MAX_ITEMS`].
    items: Vec<Unknown<'env>>,
}

impl<'env> ByteList<'env> {
    /// One slice for each item.
    pub(crate) fn slices(self) -> napi::Result<Vec<ByteArray<'env>>> {
        self.items.into_iter().map(ByteArray::from_unknown).collect()
    }

    /// As [`Self::slices`]; an item may be absent.
    pub(crate) fn optional_slices(self) -> napi::Result<Vec<Option<ByteArray<'env>>>> {
        self.items.into_iter().map(Option::from_unknown).collect()
    }
}

impl FromNapiValue for ByteList<'_> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        // SAFETY: the caller gives a value of this call.
        let list = unsafe { Array::from_napi_value(env, value) }?;
        read(&list, MAX_ITEMS).map(|items| Self { items })
    }
}

impl TypeName for ByteList<'_> {
    fn type_name() -> &'static str {
        "Array"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for ByteList<'_> {}

/// Short texts.
pub(crate) struct TextList(pub(crate) Vec<String>);

impl FromNapiValue for TextList {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        // SAFETY: the caller gives a value of this call.
        let list = unsafe { Array::from_napi_value(env, value) }?;
        let texts = read(&list, MAX_TEXTS)?;
        Ok(Self(texts.into_iter().map(|text: Text| text.0).collect()))
    }
}

impl TypeName for TextList {
    fn type_name() -> &'static str {
        "Array"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for TextList {}

/// A byte array of which this is a copy: for an argument before a list, whose getters may move it. It has at most
/// [`MAX_COPIED_BYTES`].
pub(crate) struct Copied(pub(crate) Vec<u8>);

impl FromNapiValue for Copied {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        // SAFETY: the caller gives a value of this call.
        let slice = unsafe { ByteArray::from_napi_value(env, value) }?;
        if slice.len() > MAX_COPIED_BYTES {
            let problem = format_args!("{} bytes were given, 32 are needed", slice.len());
            return Err(Failure::argument("key", problem).into());
        }
        Ok(Self(slice.to_vec()))
    }
}

impl TypeName for Copied {
    fn type_name() -> &'static str {
        "Uint8Array"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ValidateNapiValue for Copied {}

/// Memory is taken as the items come, so that a claim alone costs nothing.
fn read<T: FromNapiValue>(list: &Array<'_>, max: u32) -> napi::Result<Vec<T>> {
    let length = list.len();
    if length > max {
        let problem = format_args!("{length} items were given, at most {max} are allowed");
        return Err(Failure::argument("list", problem).into());
    }
    let mut items = Vec::new();
    for index in 0..length {
        items.extend(list.get(index)?);
    }
    Ok(items)
}
