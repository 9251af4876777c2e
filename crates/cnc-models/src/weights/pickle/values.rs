//! What a pickle's machine works with, and the names that it knows.

use candle_core::DType;

/// How the values of a storage are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::weights) enum Format {
    /// As Candle holds them.
    Of(DType),
    /// Signed bytes, which Candle does not have: they become 16 bits wide.
    I8,
}

impl Format {
    /// Bytes of a value.
    pub(in crate::weights) fn width(self) -> usize {
        match self {
            Self::Of(dtype) => dtype.size_in_bytes(),
            Self::I8 => 1,
        }
    }

    /// Of the types by which `torch` calls them.
    fn find(name: &str) -> Option<Self> {
        Some(Self::Of(match name {
            "FloatStorage" | "float32" => DType::F32,
            "DoubleStorage" | "float64" => DType::F64,
            "HalfStorage" | "float16" => DType::F16,
            "BFloat16Storage" | "bfloat16" => DType::BF16,
            "LongStorage" | "int64" => DType::I64,
            "IntStorage" | "int32" => DType::I32,
            "ShortStorage" | "int16" => DType::I16,
            "ByteStorage" | "BoolStorage" | "uint8" | "bool" => DType::U8,
            "uint32" => DType::U32,
            "float8_e4m3fn" => DType::F8E4M3,
            "CharStorage" | "int8" => return Some(Self::I8),
            _ => return None,
        }))
    }
}

/// Values on the stack. What is larger than a number is in the machine's lists, by index, so that copies are cheap and
/// what contains itself does no harm.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Mark,
    None,
    Bool,
    Float,
    Int(i64),
    Text(usize),
    Bytes,
    Tuple(usize),
    /// Its items are of no interest.
    List,
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
    /// What a name that is not known would make: nothing is made of it.
    Unmade(usize),
}

impl Value {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Mark => "a mark",
            Self::None => "None",
            Self::Bool => "a truth value",
            Self::Float | Self::Int(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a type",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Unmade(_) => "an object",
        }
    }
}

/// What a pickle names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    /// The same with the number format at the end, of a storage that does not say it.
    RebuildTyped,
    RebuildParameter,
    Format(Format),
    Untyped,
    /// Anything else: its place in the machine's list of names.
    Other(usize),
}

impl Global {
    /// What is known under a name.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTyped,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("torch.storage", "UntypedStorage") => Self::Untyped,
            ("torch", name) => Self::Format(Format::find(name)?),
            _ => return None,
        })
    }
}
