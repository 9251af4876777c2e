//! Drawn comments, and a model for them that is small enough to be trained in seconds.

use std::fs;
use std::path::Path;

use crate::Workbench;

/// The configuration of a small BERT.
pub const CONFIG: &str = r#"{
    "model_type": "bert", "vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 64, "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 64, "type_vocab_size": 2, "initializer_range": 0.1, "layer_norm_eps": 1e-12,
    "pad_token_id": 0
}"#;

/// Settings with which the small model learns in seconds.
pub const QUICK: [&str; 10] = [
    "--max-length",
    "40",
    "--set",
    "batch_size=16",
    "--set",
    "epochs=2",
    "--set",
    "optimizer.learning_rate=3e-3",
    "--set",
    "pooling=mean",
];

/// A workbench with drawn comments in `comments` and a model without weights in `model`.
#[must_use]
pub fn comments(size: &str) -> Workbench {
    let bench = Workbench::new();
    bench.xtask(&["synth", "civilcomments", "--out", "comments", "--size", size, "--seed", "3"]).success();
    model(&bench.file("model"));
    bench
}

/// Make the folder of a small BERT without weights.
pub fn model(folder: &Path) {
    fs::create_dir(folder).expect("a folder for the model");
    fs::write(folder.join("config.json"), CONFIG).expect("its configuration");
    // Every word that is drawn, whole or by its letters.
    let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).into();
    tokens.extend(('a'..='z').map(String::from));
    tokens.extend(('a'..='z').map(|letter| format!("##{letter}")));
    let words = "the of to and in is it for on stupid idiot idiots moron fool liar pathetic garbage disgusting dumb clown \
                 ridiculous trash coward thanks agree interesting thoughtful respectfully hopefully reasonable helpful \
                 kindly appreciate man men woman women muslim christian black white gay . , ! ? \"";
    tokens.extend(words.split_whitespace().map(String::from));
    fs::write(folder.join("vocab.txt"), tokens.join("\n") + "\n").expect("its vocabulary");
}
