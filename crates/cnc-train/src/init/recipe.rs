//! The recipe: what differs from the general one for data of this kind and size.

use super::guess::Guess;

/// Steps from which a small network has learned what it can from scratch, of `PLAIN_BATCH` samples.
const PLAIN_STEPS: usize = 1000;
const PLAIN_BATCH: usize = 32;
/// Passes over a small dataset beyond which nothing new is learned.
const MOST_EPOCHS: usize = 60;

pub(super) fn text(guess: &Guess) -> String {
    let head = "# Written by `cnc-train init`: what differs from the general recipe, whose every setting `cnc-train methods` names. [init] is\n\
                # chosen by the size of the data, not tuned.\n";
    let body = match guess.input.letters {
        Some(_) => TEXTS.to_owned(),
        None => images(guess),
    };
    format!("{head}model = {}\n{body}", toml::Value::from(guess.model.as_str()))
}

fn images(guess: &Guess) -> String {
    let weights = if guess.model == "resnet50" { "weights = \"timm/resnet50.tv_in1k\"\n" } else { "" };
    let epochs = (PLAIN_STEPS * PLAIN_BATCH).div_ceil(guess.train_rows.max(1)).clamp(5, MOST_EPOCHS);
    format!(
        "{weights}\n[plain]                   # training without any correction, and CNC's first stage\nepochs = {epochs}               # [init] for {} \
         training rows\n\n[cnc]\nslices = \"cross-fitted\"   # [init] by a model that has not \
         seen the sample: what is small is soon learned by heart\n",
        guess.train_rows
    )
}

/// As texts are fine-tuned: [WILDS configs] of CivilComments, but for numbers of steps.
const TEXTS: &str = r#"weights = "google-bert/bert-base-uncased"

[training]
batch_size = 16
weight_averaging = 0.0

[training.optimizer]
name = "adamw"
learning_rate = 2e-5      # [init]
momentum = 0.0
weight_decay = 1e-2
schedule = "linear"
clip_norm = 1.0

[plain]
batch_size = 16
epochs = 3                # [init]
optimizer.weight_decay = 1e-2

[cnc]
temperature = 0.1
per_part = 8              # [init]
batches_per_step = 1      # [init]
batches_per_encoding = 1  # [init]
steps = 300               # [init]
evaluate_every = 50       # [init]
weight_averaging = 0.0
"#;
