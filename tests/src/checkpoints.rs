//! Weights as other programs leave them: state dicts as `torch.save` writes them, whole and nested.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Tensors by their names.
pub type Tensors = Vec<(String, Tensor)>;

/// What a pickle holds.
pub enum Value {
    /// A dictionary.
    Dict(Vec<(String, Value)>),
    /// A dictionary of tensors.
    Tensors(Tensors),
    /// An object of a class of Python's, with this name and no content.
    Object(&'static str, &'static str),
    /// A whole number.
    Number(i32),
}

/// The tensors of a safetensors file.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn tensors(path: &Path) -> Tensors {
    let mut read: Tensors = candle_core::safetensors::load(path, &Device::Cpu).expect("weights").into_iter().collect();
    read.sort_by(|a, b| a.0.cmp(&b.0));
    read
}

/// Write tensors as a safetensors file.
pub fn save_safetensors(tensors: &Tensors, path: &Path) {
    let tensors = tensors.iter().cloned().collect();
    candle_core::safetensors::save(&tensors, path).expect("a file of weights");
}

/// Write a value as `torch.save` does: a zip archive of a pickle of protocol 2, and a file a storage.
pub fn torch_save(value: &Value, path: &Path) {
    let mut pickle = Pickle { bytes: vec![0x80, 2], storages: Vec::new() };
    pickle.put(value);
    pickle.bytes.push(b'.');
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, bytes: &[u8]| {
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file(format!("archive/{name}"), options).expect("an entry");
        archive.write_all(bytes).expect("its bytes");
    };
    add("data.pkl", &pickle.bytes);
    add("byteorder", b"little");
    for (number, storage) in pickle.storages.iter().enumerate() {
        add(&format!("data/{number}"), storage);
    }
    fs::write(path, archive.finish().expect("an archive").into_inner()).expect("a file of weights");
}

/// What a pickle becomes, operation by operation.
struct Pickle {
    bytes: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl Pickle {
    fn put(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.number(*number),
            Value::Object(module, class) => {
                self.global(module, class);
                self.bytes.extend(b")R");
            }
            Value::Dict(entries) => self.dict(entries, Self::put),
            Value::Tensors(tensors) => self.dict(tensors, Self::tensor),
        }
    }

    fn dict<T>(&mut self, entries: &[(String, T)], put: fn(&mut Self, &T)) {
        self.bytes.extend(b"}(");
        for (key, value) in entries {
            self.text(key);
            put(self, value);
        }
        self.bytes.push(b'u');
    }

    /// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`.
    fn tensor(&mut self, tensor: &Tensor) {
        let (class, bytes) = match tensor.dtype() {
            DType::I64 => ("LongStorage", bytes(tensor, i64::to_le_bytes)),
            _ => ("FloatStorage", bytes(tensor, f32::to_le_bytes)),
        };
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.extend(b"((");
        self.text("storage");
        self.global("torch", class);
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.number(tensor.elem_count() as i32);
        self.bytes.extend(b"tQ");
        self.number(0);
        self.sizes(tensor.dims());
        self.sizes(tensor.stride());
        self.bytes.push(0x89);
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")RtR");
        self.storages.push(bytes);
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.bytes.push(b'(');
        sizes.iter().for_each(|size| self.number(*size as i32));
        self.bytes.push(b't');
    }

    fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn number(&mut self, number: i32) {
        self.bytes.push(b'J');
        self.bytes.extend(number.to_le_bytes());
    }
}

/// The values of a contiguous tensor, one after the other.
fn bytes<T: candle_core::WithDType, const N: usize>(tensor: &Tensor, of: fn(T) -> [u8; N]) -> Vec<u8> {
    let values: Vec<T> = tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("values");
    values.into_iter().flat_map(of).collect()
}
