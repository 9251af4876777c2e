//! The part of Python's pickle format that state dicts are made of.
//!
//! A pickle is a program for a small stack machine, and Python's machine may call any function that it names. This one
//! calls none: it knows the few constructors of `torch.save` by name, stands for what they would make with plain data,
//! and refuses every other name. It runs in time and memory in proportion to the length of the pickle, whatever is in it.
//!
//! Format: CPython's `pickletools.py`, protocol 2, which `torch.save` writes unless told otherwise.

use std::collections::HashMap;

use candle_core::DType;

/// Why a pickle is not a state dict.
pub(super) type Problem = String;

/// A tensor as the pickle describes it; its values are elsewhere in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorEntry {
    /// Name of the file with its storage.
    pub storage: String,
    /// Number format of the storage.
    pub dtype: DType,
    /// Values before its first one.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// Values from one index to the next, by dimension.
    pub strides: Vec<usize>,
}

/// What the pickle's outermost dictionary holds under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Tensor(TensorEntry),
    /// A dictionary inside: its entries.
    Dict(Vec<(String, Entry)>),
    /// A number, a text, a list: by its kind.
    Other(&'static str),
}

/// Values on the stack. What is larger than a number is in [`Machine`]'s lists, by index, so that copies are cheap and
/// what contains itself does no harm.
#[derive(Debug, Clone, Copy)]
enum Value {
    Mark,
    None,
    Bool,
    Float,
    Int(i64),
    Text(usize),
    Tuple(usize),
    /// Its items are of no interest.
    List,
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
}

impl Value {
    fn kind(self) -> &'static str {
        match self {
            Self::Mark => "a mark",
            Self::None => "None",
            Self::Bool => "a truth value",
            Self::Float | Self::Int(_) => "a number",
            Self::Text(_) => "a text",
            Self::Tuple(_) => "a tuple",
            Self::List => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a type",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// All that a state dict may name.
#[derive(Debug, Clone, Copy)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(DType),
}

impl Global {
    fn find(module: &str, name: &str) -> Result<Self, Problem> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "FloatStorage") => Self::Storage(DType::F32),
            ("torch", "DoubleStorage") => Self::Storage(DType::F64),
            ("torch", "HalfStorage") => Self::Storage(DType::F16),
            ("torch", "BFloat16Storage") => Self::Storage(DType::BF16),
            ("torch", "LongStorage") => Self::Storage(DType::I64),
            ("torch", "IntStorage") => Self::Storage(DType::I32),
            ("torch", "ShortStorage") => Self::Storage(DType::I16),
            ("torch", "ByteStorage" | "BoolStorage") => Self::Storage(DType::U8),
            _ => return Err(format!("it asks for `{module}.{name}`, and only tensors are read")),
        })
    }
}

#[derive(Debug, Clone)]
struct Storage {
    file: String,
    dtype: DType,
}

/// The entries of the pickle's outermost dictionary.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<(String, Entry)>, Problem> {
    let mut machine = Machine { bytes, ..Machine::default() };
    match machine.run()? {
        Value::Dict(index) => Ok(machine.entries_of(index, 1)),
        other => Err(format!("it holds {} and no dictionary of tensors", other.kind())),
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
    texts: Vec<&'a str>,
    tuples: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: Vec<Storage>,
    tensors: Vec<TensorEntry>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value, Problem> {
        loop {
            let at = self.at;
            let [code] = self.take()?;
            match code {
                0x80 => self.take::<1>().map(|_| ())?,
                b'.' => return self.pop(),
                b'(' => self.stack.push(Value::Mark),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool),
                b'G' => {
                    self.take::<8>()?;
                    self.stack.push(Value::Float);
                }
                b'K' => {
                    let [byte] = self.take()?;
                    self.stack.push(Value::Int(byte.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(value.into()));
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(value.into()));
                }
                0x8a => self.long()?,
                b'X' => {
                    let length = u32::from_le_bytes(self.take()?);
                    let text = self.slice(length as usize)?;
                    self.push_text(text)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.stack.push(Value::Global(Global::find(module, name)?));
                }
                b'q' => {
                    let [index] = self.take()?;
                    self.remember(index.into())?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.remember(index)?;
                }
                b'h' => {
                    let [index] = self.take()?;
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.recall(index)?;
                }
                b')' => self.push_tuple(Vec::new()),
                0x85..=0x87 => {
                    let start = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or_else(too_little)?;
                    let items = self.stack.split_off(start);
                    self.push_tuple(items);
                }
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push_tuple(items);
                }
                b']' => self.stack.push(Value::List),
                b'a' => self.pop().map(|_| ())?,
                b'e' => self.pop_to_mark().map(|_| ())?,
                b'}' => self.push_dict(),
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(&items)?;
                }
                b'Q' => self.persistent()?,
                b'R' => self.reduce()?,
                // The attributes of a dictionary: what versions its parts have.
                b'b' => {
                    self.pop()?;
                    match self.stack.last() {
                        Some(Value::Dict(_)) => {}
                        other => return Err(unexpected("attributes of a dictionary", other)),
                    }
                }
                other => {
                    return Err(format!("byte {at} is the instruction {other:#04x}, which state dicts do not have"));
                }
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (bytes, _) = self.bytes.get(self.at..).and_then(<[u8]>::split_first_chunk).ok_or_else(cut_short)?;
        self.at += N;
        Ok(*bytes)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)).ok_or_else(cut_short)?;
        self.at += length;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<&'a str, Problem> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut_short)?;
        let line = self.slice(length)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| "a name in it is not UTF-8".to_owned())
    }

    /// A whole number of any length; those of tensors have eight bytes at most.
    fn long(&mut self) -> Result<(), Problem> {
        let [length] = self.take()?;
        let bytes = self.slice(length.into())?;
        let Some(sign) = bytes.last().map(|last| if last & 0x80 == 0 { 0 } else { 0xff }) else {
            self.stack.push(Value::Int(0));
            return Ok(());
        };
        let mut long = [sign; 8];
        let Some(low) = long.get_mut(..bytes.len()) else {
            self.stack.push(Value::Float);
            return Ok(());
        };
        low.copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(long)));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, Problem> {
        self.stack.pop().ok_or_else(too_little)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, Problem> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark)).ok_or_else(too_little)?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn push_text(&mut self, text: &'a [u8]) -> Result<(), Problem> {
        let text = std::str::from_utf8(text).map_err(|_| "a text in it is not UTF-8".to_owned())?;
        self.stack.push(Value::Text(self.texts.len()));
        self.texts.push(text);
        Ok(())
    }

    fn push_tuple(&mut self, items: Vec<Value>) {
        self.stack.push(Value::Tuple(self.tuples.len()));
        self.tuples.push(items);
    }

    fn push_dict(&mut self) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(Vec::new());
    }

    fn remember(&mut self, index: u32) -> Result<(), Problem> {
        let value = *self.stack.last().ok_or_else(too_little)?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), Problem> {
        let value = *self.memo.get(&index).ok_or_else(too_little)?;
        self.stack.push(value);
        Ok(())
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), Problem> {
        let dict = match self.stack.last() {
            Some(Value::Dict(index)) => self.dicts.get_mut(*index),
            _ => None,
        };
        let dict = dict.ok_or_else(|| "it sets items of what is no dictionary".to_owned())?;
        for pair in items.chunks(2) {
            let &[key, value] = pair else { return Err(too_little()) };
            dict.push((key, value));
        }
        Ok(())
    }

    fn text(&self, value: Option<&Value>) -> Result<&'a str, Problem> {
        match value {
            Some(Value::Text(index)) => self.texts.get(*index).copied().ok_or_else(too_little),
            other => Err(unexpected("a text", other)),
        }
    }

    fn items(&self, value: Option<&Value>) -> Result<&[Value], Problem> {
        match value {
            Some(Value::Tuple(index)) => self.tuples.get(*index).map(Vec::as_slice).ok_or_else(too_little),
            other => Err(unexpected("a tuple", other)),
        }
    }

    fn sizes(&self, value: Option<&Value>) -> Result<Vec<usize>, Problem> {
        self.items(value)?.iter().map(|item| size(Some(item))).collect()
    }

    /// `("storage", type, file, device, values)`.
    fn persistent(&mut self) -> Result<(), Problem> {
        let id = self.pop()?;
        let items = self.items(Some(&id))?;
        let Some(Value::Global(Global::Storage(dtype))) = items.get(1) else {
            return Err(unexpected("the type of a storage", items.get(1)));
        };
        let storage = Storage { file: self.text(items.get(2))?.to_owned(), dtype: *dtype };
        self.stack.push(Value::Storage(self.storages.len()));
        self.storages.push(storage);
        Ok(())
    }

    fn reduce(&mut self) -> Result<(), Problem> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let items = self.items(Some(&arguments))?;
        match function {
            Value::Global(Global::OrderedDict) if items.is_empty() => self.push_dict(),
            // (tensor, requires_grad, hooks)
            Value::Global(Global::RebuildParameter) => match items.first() {
                Some(tensor @ Value::Tensor(_)) => {
                    let tensor = *tensor;
                    self.stack.push(tensor);
                }
                other => return Err(unexpected("a tensor", other)),
            },
            // (storage, offset, shape, strides, requires_grad, hooks)
            Value::Global(Global::RebuildTensor) => {
                let storage = match items.first() {
                    Some(Value::Storage(index)) => self.storages.get(*index),
                    _ => None,
                };
                let storage = storage.ok_or_else(|| unexpected("a storage", items.first()))?;
                let tensor = TensorEntry {
                    storage: storage.file.clone(),
                    dtype: storage.dtype,
                    offset: size(items.get(1))?,
                    shape: self.sizes(items.get(2))?,
                    strides: self.sizes(items.get(3))?,
                };
                self.stack.push(Value::Tensor(self.tensors.len()));
                self.tensors.push(tensor);
            }
            other => return Err(unexpected("a tensor or a dictionary", Some(&other))),
        }
        Ok(())
    }

    /// Entries with a text as their key; of dictionaries inside down to `depth`.
    fn entries_of(&self, dict: usize, depth: usize) -> Vec<(String, Entry)> {
        let items = self.dicts.get(dict).map(Vec::as_slice).unwrap_or_default();
        let entry = |(key, value): &(Value, Value)| {
            let entry = match value {
                Value::Tensor(index) => self.tensors.get(*index).cloned().map(Entry::Tensor),
                Value::Dict(index) if depth > 0 => Some(Entry::Dict(self.entries_of(*index, depth - 1))),
                other => Some(Entry::Other(other.kind())),
            };
            Some((self.text(Some(key)).ok()?.to_owned(), entry?))
        };
        items.iter().filter_map(entry).collect()
    }
}

fn size(value: Option<&Value>) -> Result<usize, Problem> {
    match value {
        Some(Value::Int(value)) => usize::try_from(*value).map_err(|_| format!("{value} is no size of a tensor")),
        other => Err(unexpected("a size", other)),
    }
}

fn cut_short() -> Problem {
    "it is cut short".to_owned()
}

fn too_little() -> Problem {
    "it uses values that are not there".to_owned()
}

fn unexpected(expected: &str, found: Option<&Value>) -> Problem {
    format!("expected {expected}, found {}", found.map_or("nothing", |value| value.kind()))
}
