//! The folder of a small BERT without weights, which a run draws from its seed.

use std::path::Path;

/// Its `config.json`.
pub const CONFIG: &str = r#"{
    "model_type": "bert", "vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 64, "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 64, "type_vocab_size": 2, "initializer_range": 0.1, "layer_norm_eps": 1e-12,
    "pad_token_id": 0
}"#;

/// What `cargo xtask synth civilcomments` draws of meaning; it spells other words by their letters.
const WORDS: &str = "the of to and in is it for on stupid idiot idiots moron fool liar pathetic garbage disgusting dumb \
                     clown ridiculous trash coward thanks agree interesting thoughtful respectfully hopefully reasonable \
                     helpful kindly appreciate man men woman women muslim christian black white gay . , ! ? \"";

/// Make the folder: sizes and vocabulary.
pub fn write(folder: &Path) {
    let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).into();
    tokens.extend(('a'..='z').map(String::from));
    tokens.extend(('a'..='z').map(|letter| format!("##{letter}")));
    tokens.extend(WORDS.split_whitespace().map(String::from));
    std::fs::create_dir(folder).expect("a folder for the model");
    std::fs::write(folder.join("config.json"), CONFIG).expect("the sizes of the model");
    std::fs::write(folder.join("vocab.txt"), tokens.join("\n") + "\n").expect("the vocabulary");
}
