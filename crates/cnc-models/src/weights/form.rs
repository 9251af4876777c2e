//! The forms that weights come in, by how a file begins; and those that are not read, by name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Result;

/// First bytes of a zip archive: PyTorch's format since 1.6.
const ZIP: &[u8] = b"PK\x03\x04";
/// The pickled number that PyTorch's format before begins with, 0x1950a86a20f9469cfc6c.
const BEFORE_ZIP: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// What a pickle begins with, before its protocol.
const PICKLE: u8 = 0x80;
/// Bytes of a file that tell its form.
const START: u64 = 64;

/// A form that is not read, and what to do about it.
pub(super) struct Form {
    pub found: &'static str,
    pub remedy: &'static str,
}

const TENSORFLOW: Form = Form {
    found: "weights of TensorFlow or Keras",
    remedy: "convert it: python -c \"from transformers import AutoModel as M; M.from_pretrained('DIR', \
             from_tf=True).save_pretrained('DIR')\"",
};
const FLAX: Form = Form {
    found: "weights of Flax",
    remedy: "convert it: python -c \"from transformers import AutoModel as M; M.from_pretrained('DIR', \
             from_flax=True).save_pretrained('DIR')\"",
};
const ONNX: Form =
    Form { found: "a graph of ONNX", remedy: "take the checkpoint that it was exported from: its names are not in it" };
const OTHER: Form =
    Form { found: "in a form for another program", remedy: "take the .safetensors or .bin that it was converted from" };

/// Forms by the first bytes.
const STARTS: [(&[u8], Form); 5] = [
    (b"\x89HDF\r\n\x1a\n", TENSORFLOW),
    (
        b"version https://git-lfs",
        Form { found: "a pointer of Git LFS and not the file itself", remedy: "fetch the file: git lfs pull" },
    ),
    (b"\x1f\x8b", Form { found: "compressed with gzip", remedy: "unpack it: gunzip FILE" }),
    (b"GGUF", OTHER),
    (
        b"\x93NUMPY",
        Form {
            found: "one array of NumPy",
            remedy: "save all of a model's: safetensors.numpy.save_file({name: array}, path)",
        },
    ),
];

/// The form of which a file's name tells that it is not read.
pub(super) fn of_name(name: &str) -> Option<Form> {
    match Path::new(name).extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "h5" | "hdf5" | "keras" | "index" => Some(TENSORFLOW),
        "msgpack" => Some(FLAX),
        "onnx" => Some(ONNX),
        "ot" | "tflite" | "gguf" | "npz" => Some(OTHER),
        _ => None,
    }
}

/// Whether a file begins as safetensors do: with the length of its header, which is far below 4 GiB, and with the header.
/// The length's first byte may be that of any other form.
fn is_safetensors(start: &[u8]) -> bool {
    matches!(start, [_, _, _, _, 0, 0, 0, 0, b'{', ..])
}

/// The form of which the first bytes tell that it is not read.
pub(super) fn foreign(start: &[u8]) -> Option<Form> {
    if is_safetensors(start) {
        return None;
    }
    if start.is_empty() {
        return Some(Form { found: "an empty file", remedy: "copy or fetch it again" });
    }
    if start.trim_ascii_start().starts_with(b"<") {
        return Some(Form {
            found: "a web page (HTML), which came in place of the weights",
            remedy: "open the address in a browser to see what it says, and download the file again",
        });
    }
    if let [PICKLE, 0..=5, ..] = start {
        return Some(Form {
            found: "a pickle that torch.save did not write",
            remedy: "save the state dict with torch.save(model.state_dict(), path)",
        });
    }
    STARTS.into_iter().find_map(|(first, form)| start.starts_with(first).then_some(form))
}

pub(super) fn is_zip(start: &[u8]) -> bool {
    start.starts_with(ZIP)
}

/// Whether it is PyTorch's format before 1.6, whatever the protocol of its pickles.
pub(super) fn is_before_zip(start: &[u8]) -> bool {
    start.first() == Some(&PICKLE) && start.windows(BEFORE_ZIP.len()).any(|part| part == BEFORE_ZIP)
}

/// The first bytes of a file.
pub(super) fn start(path: &Path) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
    match read {
        Ok(_) => Ok(start),
        Err(source) => Err(cnc_nn::Error::Read { path: path.to_owned(), source }.into()),
    }
}
