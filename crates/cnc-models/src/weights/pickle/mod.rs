//! The part of Python's pickle format that state dicts are made of.
//!
//! A pickle is a program for a small stack machine, and Python's machine may call any function that it names. This one
//! calls none: it knows the few constructors of `torch.save` by name and stands for what they would make with plain data.
//! Of what any other name would make it keeps the name alone, so that the settings and optimisers beside a state dict
//! can be passed over. It runs in time and memory in proportion to the length of the pickle, whatever is in it.
//!
//! Format: CPython's `pickletools.py`, protocols 1 to 5; `torch.save` writes 2 unless told otherwise.

mod values;

use std::collections::HashMap;

pub(super) use values::Format;
use values::{Global, Value};

/// Why a pickle is not a state dict.
pub(super) type Problem = String;

/// A tensor as the pickle describes it; its values are elsewhere in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorEntry {
    /// Name of the file with its storage.
    pub storage: String,
    /// Number format of the storage.
    pub format: Format,
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
    /// A number, a text, a list, what a name that is not known would make: by its kind.
    Other(String),
}

#[derive(Debug, Clone)]
struct Storage {
    file: String,
    /// None where the tensors say it.
    format: Option<Format>,
}

/// The entries of the pickle's outermost dictionary.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<(String, Entry)>, Problem> {
    let mut machine = Machine { bytes, ..Machine::default() };
    match machine.run()? {
        Value::Dict(index) => Ok(machine.entries_of(index, 1)),
        other => Err(format!("it holds {} and no dictionary of tensors", machine.kind(other))),
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
    /// Names that are not known.
    others: Vec<String>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value, Problem> {
        loop {
            let at = self.at;
            let [code] = self.take()?;
            match code {
                0x80 => self.take::<1>().map(|_| ())?,
                b'.' => return self.pop(),
                0x95 => self.take::<8>().map(|_| ())?,
                b'(' => self.stack.push(Value::Mark),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool),
                b'G' => {
                    self.take::<8>()?;
                    self.stack.push(Value::Float);
                }
                b'K' | b'M' | b'J' | b'I' | b'L' | 0x8a => self.whole_number(code)?,
                b'X' | 0x8c | 0x8d => {
                    let text = self.counted(code)?;
                    self.push_text(text)?;
                }
                b'B' | b'C' | b'T' | b'U' | 0x8e | 0x96 => {
                    self.counted(code)?;
                    self.stack.push(Value::Bytes);
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push_global(module, name);
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (module, name) = (self.text(Some(&module))?, self.text(Some(&name))?);
                    self.push_global(module, name);
                }
                b'q' | b'r' | b'h' | b'j' | 0x94 => self.memo(code)?,
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
                // Lists and sets, whose items nobody asks for.
                b']' | 0x8f => self.stack.push(Value::List),
                b'a' => self.pop().map(|_| ())?,
                b'e' | 0x90 => self.pop_to_mark().map(|_| ())?,
                b'l' | 0x91 => {
                    self.pop_to_mark()?;
                    self.stack.push(Value::List);
                }
                b'}' => self.push_dict(),
                b'd' => {
                    let items = self.pop_to_mark()?;
                    self.push_dict();
                    self.set_items(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(&items)?;
                }
                b'0' => self.pop().map(|_| ())?,
                b'1' => self.pop_to_mark().map(|_| ())?,
                b'2' => {
                    let value = *self.stack.last().ok_or_else(too_little)?;
                    self.stack.push(value);
                }
                b'Q' => self.persistent()?,
                b'R' | 0x81 => self.reduce()?,
                // Named arguments, of which nothing that is known has any.
                0x92 => {
                    self.pop()?;
                    self.reduce()?;
                }
                // The attributes of a dictionary: what versions its parts have.
                b'b' => {
                    self.pop()?;
                    match self.stack.last() {
                        Some(Value::Dict(_) | Value::Unmade(_)) => {}
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

    /// The bytes behind their number.
    fn counted(&mut self, code: u8) -> Result<&'a [u8], Problem> {
        let length = match code {
            b'C' | b'U' | 0x8c => u64::from(u8::from_le_bytes(self.take()?)),
            b'B' | b'T' | b'X' => u64::from(u32::from_le_bytes(self.take()?)),
            _ => u64::from_le_bytes(self.take()?),
        };
        self.slice(usize::try_from(length).map_err(|_| cut_short())?)
    }

    fn whole_number(&mut self, code: u8) -> Result<(), Problem> {
        let value = match code {
            b'K' => u8::from_le_bytes(self.take()?).into(),
            b'M' => u16::from_le_bytes(self.take()?).into(),
            b'J' => i32::from_le_bytes(self.take()?).into(),
            0x8a => return self.long(),
            // In decimal, up to protocol 1; truth values are 00 and 01.
            _ => {
                let line = self.line()?;
                let number = line.strip_suffix('L').unwrap_or(line).parse();
                self.stack.push(number.map_or(Value::Float, Value::Int));
                return Ok(());
            }
        };
        self.stack.push(Value::Int(value));
        Ok(())
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

    /// Remembers the value on top, or recalls one.
    fn memo(&mut self, code: u8) -> Result<(), Problem> {
        let index = match code {
            b'q' | b'h' => u8::from_le_bytes(self.take()?).into(),
            b'r' | b'j' => u32::from_le_bytes(self.take()?),
            _ => u32::try_from(self.memo.len()).map_err(|_| too_little())?,
        };
        if matches!(code, b'h' | b'j') {
            self.stack.push(*self.memo.get(&index).ok_or_else(too_little)?);
        } else {
            self.memo.insert(index, *self.stack.last().ok_or_else(too_little)?);
        }
        Ok(())
    }

    fn push_global(&mut self, module: &str, name: &str) {
        let global = Global::find(module, name).unwrap_or_else(|| {
            self.others.push(format!("{module}.{name}"));
            Global::Other(self.others.len() - 1)
        });
        self.stack.push(Value::Global(global));
    }

    /// What a value is, with the name of what would make it.
    fn kind(&self, value: Value) -> String {
        match value {
            Value::Unmade(index) => {
                let name = self.others.get(index).map_or("an unknown name", String::as_str);
                format!("what `{name}` makes")
            }
            other => other.kind().to_owned(),
        }
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), Problem> {
        let dict = match self.stack.last() {
            Some(Value::Dict(index)) => self.dicts.get_mut(*index),
            Some(Value::Unmade(_)) => return Ok(()),
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
        let format = match items.get(1) {
            Some(Value::Global(Global::Format(format))) => Some(*format),
            Some(Value::Global(Global::Untyped)) => None,
            Some(Value::Global(Global::Other(name))) => {
                let unmade = Value::Unmade(*name);
                self.stack.push(unmade);
                return Ok(());
            }
            other => return Err(unexpected("the type of a storage", other)),
        };
        let storage = Storage { file: self.text(items.get(2))?.to_owned(), format };
        self.stack.push(Value::Storage(self.storages.len()));
        self.storages.push(storage);
        Ok(())
    }

    fn reduce(&mut self) -> Result<(), Problem> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let items = self.items(Some(&arguments))?;
        let made = match function {
            Value::Global(Global::Other(name)) => Value::Unmade(name),
            Value::Global(Global::OrderedDict) if items.is_empty() => {
                self.push_dict();
                return Ok(());
            }
            // (tensor, requires_grad, hooks)
            Value::Global(Global::RebuildParameter) => match items.first() {
                Some(tensor @ (Value::Tensor(_) | Value::Unmade(_))) => *tensor,
                other => return Err(unexpected("a tensor", other)),
            },
            Value::Global(global @ (Global::RebuildTensor | Global::RebuildTyped)) => {
                let described = self.described(global, items)?;
                self.push_tensor(described);
                return Ok(());
            }
            other => return Err(unexpected("a tensor or a dictionary", Some(&other))),
        };
        self.stack.push(made);
        Ok(())
    }

    /// A tensor of (storage, offset, shape, strides, requires_grad, hooks), and with [`Global::RebuildTyped`] its number
    /// format; or what stands for one that is not read.
    fn described(&self, global: Global, items: &[Value]) -> Result<std::result::Result<TensorEntry, Value>, Problem> {
        let storage = match items.first() {
            Some(Value::Storage(index)) => self.storages.get(*index),
            Some(unmade @ Value::Unmade(_)) => return Ok(Err(*unmade)),
            _ => None,
        };
        let storage = storage.ok_or_else(|| unexpected("a storage", items.first()))?;
        let format = match (global, storage.format, items.get(6)) {
            (Global::RebuildTyped, _, Some(Value::Global(Global::Format(format)))) => Some(*format),
            (Global::RebuildTyped, _, Some(Value::Global(Global::Other(name)))) => {
                return Ok(Err(Value::Unmade(*name)));
            }
            (_, format, _) => format,
        };
        Ok(Ok(TensorEntry {
            storage: storage.file.clone(),
            format: format.ok_or_else(|| unexpected("a number format", items.get(6)))?,
            offset: size(items.get(1))?,
            shape: self.sizes(items.get(2))?,
            strides: self.sizes(items.get(3))?,
        }))
    }

    fn push_tensor(&mut self, described: std::result::Result<TensorEntry, Value>) {
        match described {
            Ok(tensor) => {
                self.stack.push(Value::Tensor(self.tensors.len()));
                self.tensors.push(tensor);
            }
            Err(unmade) => self.stack.push(unmade),
        }
    }

    /// Entries with a text as their key; of dictionaries inside down to `depth`.
    fn entries_of(&self, dict: usize, depth: usize) -> Vec<(String, Entry)> {
        let items = self.dicts.get(dict).map(Vec::as_slice).unwrap_or_default();
        let entry = |(key, value): &(Value, Value)| {
            let entry = match value {
                Value::Tensor(index) => self.tensors.get(*index).cloned().map(Entry::Tensor),
                Value::Dict(index) if depth > 0 => Some(Entry::Dict(self.entries_of(*index, depth - 1))),
                other => Some(Entry::Other(self.kind(*other))),
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
