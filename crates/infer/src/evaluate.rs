//! How well a network does on labelled images.

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData, activation};
use data::{BadImage, Batch, Loader, LoaderOptions, Samples};
use models::Network;
use serde::Serialize;
use visualize::best;

/// Who was taken for whom: `counts[truth][answer]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Self {
        Self { counts: vec![vec![0; classes]; classes] }
    }

    /// One image of class `truth`, taken for `answer`.
    pub fn add(&mut self, truth: usize, answer: usize) {
        self.counts[truth][answer] += 1;
    }

    /// The counts, a row for each true class.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Images counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Images taken for another class than their own.
    pub fn errors(&self) -> u64 {
        self.total() - (0..self.counts.len()).map(|i| self.counts[i][i]).sum::<u64>()
    }

    /// Share of errors, 0..=1; 0 of nothing.
    pub fn error(&self) -> f64 {
        self.errors() as f64 / self.total().max(1) as f64
    }

    /// Of the images of `class`, the share that was recognised; `None` if there were none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let all = self.counts[class].iter().sum::<u64>();
        (all > 0).then(|| self.counts[class][class] as f64 / all as f64)
    }

    /// Of the images taken for `class`, the share that was; `None` if there were none.
    pub fn precision(&self, class: usize) -> Option<f64> {
        let all = self.counts.iter().map(|row| row[class]).sum::<u64>();
        (all > 0).then(|| self.counts[class][class] as f64 / all as f64)
    }

    /// The matrix as CSV, a row for each true class.
    pub fn to_csv(&self, classes: &[String]) -> String {
        let mut csv = format!("true\\answer,{}\n", classes.join(","));
        for (name, row) in classes.iter().zip(&self.counts) {
            let row: Vec<_> = row.iter().map(u64::to_string).collect();
            csv.push_str(&format!("{name},{}\n", row.join(",")));
        }
        csv
    }
}

/// A batch's images on `device`, `[N, C, H, W]`.
pub fn to_tensor(batch: &Batch, device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(batch.images.clone(), batch.shape), device)
}

/// Classifies `images`, `batch_size` at a time.
///
/// # Errors
/// If an image doesn't fit the network, or an answer is not a number (the weights are damaged).
pub fn evaluate(network: &Network, images: Samples, batch_size: usize, device: &Device) -> Result<Confusion> {
    let options = LoaderOptions { batch_size, threads: 1, ..LoaderOptions::default() };
    Ok(evaluate_batches(network, &Loader::new(images, network.input().clone(), options)?, device)?.0)
}

/// Classifies what `loader` brings in an epoch, an image of which it brings ten crops by their mean probability. The images
/// that it skipped come, too.
///
/// # Errors
/// As [`evaluate`], and if it skipped all of them.
pub fn evaluate_batches(network: &Network, loader: &Loader, device: &Device) -> Result<(Confusion, Vec<BadImage>)> {
    let (mut confusion, mut bad) = (Confusion::new(network.classes()), Vec::new());
    for batch in loader.epoch(0, 0) {
        let mut batch = batch?;
        bad.append(&mut batch.bad);
        if batch.labels.is_empty() {
            continue; // all of its images were bad
        }
        let answers = together(network.forward(to_tensor(&batch, device))?, batch.labels.len());
        let answers = answers.into_data().iter::<f32>().collect::<Vec<_>>();
        for (row, &truth) in answers.chunks(network.classes()).zip(&batch.labels) {
            anyhow::ensure!(row.iter().all(|v| v.is_finite()), "a logit is not a finite number: damaged weights?");
            anyhow::ensure!(
                usize::from(truth) < network.classes(),
                "the data set has class {truth}, but {} tells only {} classes apart",
                network.model().name,
                network.classes()
            );
            confusion.add(usize::from(truth), best(row));
        }
    }
    if let (0, Some(first)) = (confusion.total(), bad.first()) {
        anyhow::bail!("none of {} images can be read. The first: {}", loader.images(), first.problem);
    }
    Ok((confusion, bad))
}

/// The mean probabilities of each image's crops, `[images, classes]`; of one crop each the logits as they are.
fn together(logits: Tensor<2>, images: usize) -> Tensor<2> {
    let [rows, classes] = logits.dims();
    match rows / images {
        1 => logits,
        crops => {
            let each = activation::softmax(logits, 1).reshape([images, crops, classes]);
            each.mean_dim(1).reshape([images, classes])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_of_an_image_answer_with_their_mean_probability() {
        let device = models::device::parse("flex").unwrap();
        let mean = |rows: [[f32; 2]; 4], images| {
            let logits = Tensor::from_data(TensorData::new(rows.concat(), [4, 2]), &device);
            together(logits, images).into_data().iter::<f32>().collect::<Vec<_>>()
        };
        // The first image's crops: 1/2 and 1/2, 3/4 and 1/4. The second's: 0 and 1, 1/2 and 1/2.
        let rows = [[7.0, 7.0], [3f32.ln(), 0.0], [-99.0, 99.0], [0.0, 0.0]];
        let got = mean(rows, 2);
        let near = |(got, expected): (&f32, f32)| (got - expected).abs() < 1e-6;
        assert!(got.len() == 4 && got.iter().zip([0.625, 0.375, 0.25, 0.75]).all(near), "{got:?}");
        assert_eq!(mean(rows, 4), rows.concat());
    }

    #[test]
    fn a_confusion_counts() {
        let mut confusion = Confusion::new(3);
        for (truth, answer) in [(0, 0), (0, 0), (0, 1), (1, 1)] {
            confusion.add(truth, answer);
        }
        assert_eq!((confusion.total(), confusion.errors(), confusion.error()), (4, 1, 0.25));
        assert_eq!(confusion.recall(0), Some(2.0 / 3.0));
        assert_eq!(confusion.precision(1), Some(0.5));
        assert_eq!((confusion.recall(2), confusion.precision(2)), (None, None));
        let classes = ["a", "b", "c"].map(String::from);
        assert_eq!(confusion.to_csv(&classes), "true\\answer,a,b,c\na,2,1,0\nb,0,1,0\nc,0,0,0\n");
    }
}
