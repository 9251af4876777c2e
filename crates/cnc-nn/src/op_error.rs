//! What can be wrong with the arguments of an op.

/// An argument that an op cannot work with, or a failure of Candle underneath.
///
/// Converts into [`candle_core::Error`], so that `?` works inside a Candle [`Module`](candle_core::Module).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// A tensor has the wrong number of dimensions.
    #[error("{op}: `{argument}` must have the shape {expected}, but has the shape {shape:?}")]
    Rank {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// The argument.
        argument: &'static str,
        /// Names of the dimensions.
        expected: &'static str,
        /// The shape that came.
        shape: Vec<usize>,
    },
    /// Input and weight disagree about the number of input channels or features.
    #[error("{op}: the input has {input} channels or features, but the weight is for {weight}")]
    Channels {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Channels or features of the input.
        input: usize,
        /// Channels or features that the weight is made for.
        weight: usize,
    },
    /// Feature maps whose last dimension is not that of the channels.
    #[error(
        "{op}: feature maps must have the shape (batch, height, width, {channels}), channels last, but have the shape \
         {shape:?}"
    )]
    ChannelsLast {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Channels that there should be.
        channels: usize,
        /// The shape that came.
        shape: Vec<usize>,
    },
    /// The bias does not have one value an output channel or feature.
    #[error("{op}: the bias must have the shape [{expected}], one value an output, but has the shape {shape:?}")]
    Bias {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Output channels or features.
        expected: usize,
        /// The shape that came.
        shape: Vec<usize>,
    },
    /// Scale, shift, mean or variance do not have one value a channel.
    #[error("{op}: scale, shift, mean and variance must have the shape [{channels}], but one has the shape {shape:?}")]
    ByChannel {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Channels of the input.
        channels: usize,
        /// The shape that came.
        shape: Vec<usize>,
    },
    /// Weight or bias of a layer norm do not have one value a feature.
    #[error("{op}: weight and bias must have the shape [{width}], but one has the shape {shape:?}")]
    ByFeature {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Features of the input.
        width: usize,
        /// The shape that came.
        shape: Vec<usize>,
    },
    /// What is to be added has another shape.
    #[error("{op}: the branch must have the shape {x:?} of the input, but has the shape {branch:?}")]
    Branch {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Shape of the input.
        x: Vec<usize>,
        /// Shape of what is to be added to it.
        branch: Vec<usize>,
    },
    /// A number that names no row of a table.
    #[error("{op}: number {index}, at place {place}, is not below {count}, the rows of the table")]
    Index {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Where among the numbers it stands, from 0.
        place: usize,
        /// The number.
        index: u32,
        /// Rows of the table.
        count: usize,
    },
    /// Attention heads of unequal size.
    #[error("self_attention: {heads} heads do not divide a width of {width}")]
    Heads {
        /// Number of heads.
        heads: usize,
        /// Features of all heads together.
        width: usize,
    },
    /// Sequences that are not the rows of the input.
    #[error("{op}: the sequences have {expected} rows together, but the input has {rows}")]
    Sequences {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Rows of the input.
        rows: usize,
        /// Rows of all sequences together.
        expected: usize,
    },
    /// A probability outside its range.
    #[error("{op}: the probability is {probability}, but must be at least 0 and below 1")]
    Probability {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// The probability.
        probability: f64,
    },
    /// Normalising by the statistics of a batch that has none.
    #[error(
        "{op}: training needs at least 2 values a channel, but an input of shape {shape:?} has {count}: use a larger \
         batch or larger images, or evaluation mode"
    )]
    TooFewValues {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Values of each channel.
        count: usize,
        /// The shape that came.
        shape: Vec<usize>,
    },
    /// The two branches of a residual block cannot be added.
    #[error("residual: the branch gives the shape {branch:?}, but the shortcut {shortcut:?}")]
    Shortcut {
        /// Shape of the branch's result.
        branch: Vec<usize>,
        /// Shape of the shortcut's result.
        shortcut: Vec<usize>,
    },
    /// The kernel or pooling window does not fit into the input once.
    #[error(
        "{op}: a kernel of {kernel_height} x {kernel_width} does not fit into an input of {height} x {width} (padding \
         included): use larger images or a smaller kernel"
    )]
    KernelTooLarge {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Rows of the kernel.
        kernel_height: usize,
        /// Columns of the kernel.
        kernel_width: usize,
        /// Rows of the padded input.
        height: usize,
        /// Columns of the padded input.
        width: usize,
    },
    /// A size that must be at least one is zero.
    #[error("{op}: `{option}` is 0, but must be at least 1")]
    Zero {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// The option.
        option: &'static str,
    },
    /// Padding of a pooling window by more than half of it: a window could then lie in the padding alone.
    #[error("{op}: padding {padding} is more than half of the kernel {kernel}")]
    Padding {
        /// Name of the op that refuses its arguments.
        op: &'static str,
        /// Padding on each side.
        padding: usize,
        /// Rows and columns of the window.
        kernel: usize,
    },
    /// Candle failed: out of memory, device errors, mixed devices or data types.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<OpError> for candle_core::Error {
    fn from(error: OpError) -> Self {
        match error {
            OpError::Candle(error) => error,
            other => candle_core::Error::wrap(other),
        }
    }
}
