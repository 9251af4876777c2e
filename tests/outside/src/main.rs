//! A program of somebody else's: rows that it holds, a model and a method of its own. `outside FOLDER` trains, or goes on with
//! what the folder holds; then it evaluates and predicts.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use cnc_core::losses::{cross_entropy_per_sample, weighted_mean};
use cnc_data::image::Picture;
use cnc_data::image::transform::Transform;
use cnc_data::{Batch, Dataset, Draw, Inputs, Split};
use cnc_models::{Error, Kind, Mode, Model, Parameters, Registry};
use cnc_nn::layers::{Linear, relu};
use cnc_train::{
    Batches, Event, GroupLabels, Input, Method, MethodInfo, Objective, Order, Predictor, Run, StagePlan, TrainedStage,
    Trainer, TrainingSettings, checked, logits,
};

/// Side of a picture.
const SIDE: u32 = 8;
/// Units of a representation.
const DIM: usize = 16;

/// A picture whose brightness tells its class, on red or blue ground, which goes with the class in seven of eight rows.
fn picture(row: u32, class: u32, ground: u32) -> Picture {
    let level = 60 + 80 * class as u8 + (row % 16) as u8;
    let colour = if ground == 0 { [level, 0, 40] } else { [40, 0, level] };
    Picture { width: SIDE, height: SIDE, pixels: colour.repeat((SIDE * SIDE) as usize) }
}

fn split(rows: u32, spurious: bool) -> Result<Split> {
    let class = |row: u32| row % 2;
    let ground = |row: u32| if spurious && row % 8 > 1 { class(row) } else { row / 2 % 2 };
    let pictures = (0..rows).map(|row| picture(row, class(row), ground(row))).collect();
    let split = Split::from_images(pictures, (0..rows).map(class).collect(), &Transform::default())?;
    Ok(split.with_attributes((0..rows).map(ground).collect())?)
}

/// A network of one hidden layer.
struct Perceptron {
    hidden: Linear,
    head: Linear,
    classes: usize,
    parameters: Parameters,
}

impl Perceptron {
    fn new(classes: usize, seed: u64, device: &Device) -> cnc_models::Result<Self> {
        let parameters = Parameters::new(seed, device);
        let builder = parameters.builder();
        let hidden = Linear::new(3 * (SIDE * SIDE) as usize, DIM, builder.pp("hidden"))?;
        Ok(Self { hidden, head: Linear::new(DIM, classes, builder.pp("head"))?, classes, parameters })
    }
}

impl Model for Perceptron {
    fn encode(&self, inputs: &Inputs, _mode: Mode) -> cnc_models::Result<Tensor> {
        let Inputs::Images(images) = inputs else {
            return Err(Error::InputKind { model: "perceptron", expected: "images", found: inputs.kind() });
        };
        let flat = images.flatten_from(1).map_err(cnc_nn::Error::from)?;
        Ok(relu(&self.hidden.forward(&flat)?)?)
    }

    fn classify(&self, representations: &Tensor, _mode: Mode) -> cnc_models::Result<Tensor> {
        Ok(self.head.forward(representations)?)
    }

    fn classifier(&self) -> &'static str {
        "head"
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn classes(&self) -> usize {
        self.classes
    }
}

/// Samples that are hard at the moment count for more.
struct Hard(TrainingSettings);

const HARD: MethodInfo = MethodInfo {
    name: "hard",
    title: "Hard samples first",
    source: "this program",
    stages: &["hard"],
    groups: GroupLabels::None,
    settings: "from = \"plain\"",
    build: |settings| {
        let settings: TrainingSettings = checked("hard", settings)?;
        settings.check("")?;
        Ok(Box::new(Hard(settings)))
    },
};

impl Method for Hard {
    fn run(&self, trainer: &Trainer) -> Result<Vec<TrainedStage>> {
        let rows = trainer.dataset.train.len();
        let plan = StagePlan::new(&self.0, "hard", "Hard", rows);
        let mut objective = HardFirst(trainer.batches(Order::all(rows), &self.0, "hard"));
        Ok(vec![trainer.stage(&plan, &mut objective)?])
    }
}

struct HardFirst(Batches);

impl Objective for HardFirst {
    type Tag = ();

    fn sampler(&self) -> Box<dyn FnMut(u64) -> Vec<Draw<()>> + Send> {
        self.0.sampler()
    }

    fn loss(&mut self, model: &dyn Model, batch: Batch, (): &(), seed: u64) -> Result<Tensor> {
        let losses =
            cross_entropy_per_sample(&logits(model, batch.inputs, Mode::Train { seed }, &Device::Cpu)?, &batch.labels)?;
        let weights: Vec<f64> = losses.detach().to_vec1::<f32>()?.iter().map(|loss| 0.1 + f64::from(*loss)).collect();
        Ok(weighted_mean(&losses, &weights)?)
    }
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("outside FOLDER")?;
    let mut models = Registry::builtin();
    models.register("perceptron", Kind::Images, |n, seed, device| Ok(Box::new(Perceptron::new(n, seed, device)?)))?;
    let splits = [split(400, true)?, split(80, false)?, split(80, false)?];
    let data = Dataset::from_splits("grounds", &["dark", "bright"], &["red", "blue"], splits)?;
    let run = Run::of_dataset(data).with_models(models.clone()).model("perceptron").with_method(HARD).method("hard");
    let run = run.set("epochs=60").folder(&folder).resume(std::path::Path::new(&folder).join("config.toml").exists());
    let said = |event: &Event<'_>| {
        if let Event::Started { step, .. } = event {
            println!("begins after step {step}");
        }
    };
    let results = run.on_event(said).train()?;
    println!("worst group {:.3} of {}", results.test.worst_group_accuracy.unwrap_or(0.0), results.test.count);
    let predictor = Predictor::load_with(&folder, "cpu", [HARD], models)?;
    let inputs = [0, 1].map(|class| Input::Picture { name: format!("class {class}"), picture: picture(3, class, 1) });
    for answer in predictor.predict(inputs)? {
        let answer = answer?;
        println!("{} is {} with {:.2}", answer.input, answer.class, answer.probability);
    }
    Ok(())
}
