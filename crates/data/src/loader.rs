//! Batches in order, made by threads that change nothing about them.

use crate::{
    Augment, DataError, Samples,
    prepare::{View, frame_into, square},
    random::permutation,
    whiten::whiten,
};
use models::InputSpec;
use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

/// How a [`Loader`] goes through its images.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// Images in a batch; the last of an epoch may have fewer.
    pub batch_size: usize,
    /// What order and distortions depend on.
    pub seed: u64,
    /// Worker threads; 0 works on the caller's. The batches are the same, byte for byte.
    pub threads: usize,
    /// Whether each epoch has a random order of its own. Otherwise the images come as they are.
    pub shuffle: bool,
    /// With `shuffle`: one random order, the same in every epoch (LeCun 1998).
    pub fixed_order: bool,
    /// Shows every image otherwise in every epoch.
    pub augment: Augment,
    /// Shows every image ten ways, see [`ten_crops_into`](crate::ten_crops_into), and not augmented.
    pub ten_crops: bool,
    /// What becomes of an image that can't be decoded.
    pub on_bad_image: OnBadImage,
}

/// What becomes of an image that can't be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadImage {
    /// It is an error.
    #[default]
    Fail,
    /// Its batch goes without it, and names it.
    Skip,
}

/// An image that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadImage {
    /// Its position in the dataset.
    pub index: u32,
    /// What is wrong with it, and where it is.
    pub problem: String,
}

impl Default for LoaderOptions {
    /// Batches of 64 on the caller's thread, in the order of the dataset, as the images are.
    fn default() -> Self {
        Self {
            batch_size: 64,
            seed: 0,
            threads: 0,
            shuffle: false,
            fixed_order: false,
            augment: Augment::default(),
            ten_crops: false,
            on_bad_image: OnBadImage::Fail,
        }
    }
}

/// A few images, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[n, channels, height, width]`, normalised; of ten crops `[10 n, …]`, an image's one behind the other.
    pub images: Vec<f32>,
    /// That of `images`.
    pub shape: [usize; 4],
    /// `[n]`, the class of each image.
    pub labels: Vec<u16>,
    /// `[n]`, the position of each image in the dataset.
    pub indices: Vec<u32>,
    /// Images that should have been in it.
    pub bad: Vec<BadImage>,
}

impl Batch {
    /// The images `range` of it.
    ///
    /// # Panics
    /// `range` ends beyond its images.
    #[must_use]
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        let [views, channels, height, width] = self.shape;
        let views = views / self.labels.len().max(1);
        let size = views * channels * height * width;
        Self {
            images: self.images[range.start * size..range.end * size].to_vec(),
            shape: [views * range.len(), channels, height, width],
            labels: self.labels[range.clone()].to_vec(),
            indices: self.indices[range].to_vec(),
            bad: Vec::new(),
        }
    }
}

/// Makes the batches of any epoch. Two batches for each thread wait at most, whatever the number of images.
#[derive(Clone, Debug)]
pub struct Loader(Arc<Work>);

#[derive(Debug)]
struct Work {
    images: Samples,
    spec: InputSpec,
    options: LoaderOptions,
}

impl Loader {
    /// Checks that every batch can be made.
    ///
    /// # Errors
    /// A batch size of 0, over 1024 threads, an augmentation or a description of the input that cannot be carried out, ten
    /// crops that are augmented or of an input that isn't scaled, a first image that does not fit.
    pub fn new(images: impl Into<Samples>, spec: InputSpec, options: LoaderOptions) -> Result<Self, DataError> {
        let images = images.into();
        let invalid = |problem: String| Err(DataError::Invalid(problem));
        if options.batch_size == 0 {
            return invalid("the batch size is 0, expected at least 1".into());
        }
        if options.threads > 1024 {
            return invalid(format!("{} loader threads, expected at most 1024", options.threads));
        }
        if u32::try_from(images.len()).is_err() {
            return invalid(format!("{} images, expected at most {}", images.len(), u32::MAX));
        }
        options.augment.check(&spec)?;
        if options.ten_crops {
            square(&spec)?;
            if options.augment != Augment::default() {
                return invalid("ten crops are shown without augmentation".into());
            }
        }
        if !images.is_empty()
            && let Ok(first) = images.image(0)
        {
            let mut numbers = vec![0.0; spec.shape().iter().product()];
            frame_into(&spec, first.view(), &View::default(), &mut numbers).map_err(|cause| images.unfit(0, cause))?;
            whiten(&spec, &mut numbers)?;
        }
        Ok(Self(Arc::new(Work { images, spec, options })))
    }

    /// Number of batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.0.batches()
    }

    /// The same images in the same order, in batches of another size.
    #[must_use]
    pub fn with_batch_size(&self, batch_size: usize) -> Self {
        let work = &self.0;
        let options = LoaderOptions { batch_size, ..work.options.clone() };
        Self(Arc::new(Work { images: work.images.clone(), spec: work.spec.clone(), options }))
    }

    /// Images in an epoch.
    pub fn images(&self) -> usize {
        self.0.images.len()
    }

    /// The batches of an epoch from `first_batch` on. Dropping the iterator stops the threads.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Epoch {
        let work = &self.0;
        let LoaderOptions { seed, threads, shuffle, fixed_order, .. } = work.options;
        let n = work.images.len() as u32;
        let order = if shuffle { permutation(seed, if fixed_order { 0 } else { epoch }, n) } else { (0..n).collect() };
        let (order, batches) = (Arc::new(order), work.batches());
        let worker = |first: usize| {
            // With one batch waiting in the channel and one in the hands of its maker, 2 for each thread.
            let (sender, receiver) = sync_channel(1);
            let (work, order) = (Arc::clone(work), Arc::clone(&order));
            let thread = Builder::new().name("loader".into()).spawn(move || {
                (first..batches).step_by(threads).all(|batch| sender.send(work.batch(&order, epoch, batch)).is_ok());
            });
            Worker { receiver, thread }
        };
        let last = first_batch.saturating_add(threads).min(batches);
        let workers: Vec<_> = (first_batch..last).map(worker).collect();
        Epoch { work: Arc::clone(work), order, epoch, next: first_batch, first: first_batch, workers }
    }
}

impl Work {
    fn batches(&self) -> usize {
        self.images.len().div_ceil(self.options.batch_size)
    }

    fn batch(&self, order: &[u32], epoch: u64, batch: usize) -> Result<Batch, DataError> {
        let Self { images, spec, options } = self;
        let first = batch * options.batch_size;
        let wanted = &order[first..order.len().min(first.saturating_add(options.batch_size))];
        let [channels, height, width] = spec.shape();
        let views = if options.ten_crops { 10 } else { 1 };
        let size = views * channels * height * width;
        let mut numbers = vec![0.0; wanted.len() * size];
        let (mut indices, mut bad) = (Vec::with_capacity(wanted.len()), Vec::new());
        for &index in wanted {
            let out = &mut numbers[indices.len() * size..][..size];
            let view = options.augment.view(options.seed, epoch, index, spec);
            let framed = match options.ten_crops {
                true => images.frame_ten_into(index as usize, spec, out),
                false => images.frame_into(index as usize, spec, &view, out),
            };
            match framed {
                Ok(()) => indices.push(index),
                Err(error) if options.on_bad_image == OnBadImage::Skip => {
                    bad.push(BadImage { index, problem: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        numbers.truncate(indices.len() * size);
        whiten(spec, &mut numbers)?;
        for (&index, numbers) in indices.iter().zip(numbers.chunks_exact_mut(size)) {
            options.augment.apply(options.seed, epoch, index, spec, numbers);
        }
        let labels = indices.iter().map(|&index| images.label(index as usize)).collect();
        Ok(Batch { images: numbers, shape: [views * indices.len(), channels, height, width], labels, indices, bad })
    }
}

#[derive(Debug)]
struct Worker {
    receiver: Receiver<Result<Batch, DataError>>,
    thread: io::Result<JoinHandle<()>>,
}

impl Worker {
    /// Why the thread hung up.
    fn stopped(self) -> DataError {
        DataError::Worker(match self.thread.map(JoinHandle::join) {
            Ok(Ok(())) => "it ended early".into(),
            Ok(Err(panic)) => panicked(panic),
            Err(error) => error.to_string(),
        })
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without a message"))
}

/// The batches of one epoch, in order. Ends after the first error.
#[derive(Debug)]
pub struct Epoch {
    work: Arc<Work>,
    order: Arc<Vec<u32>>,
    epoch: u64,
    next: usize,
    first: usize,
    workers: Vec<Worker>,
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.work.batches() {
            return None;
        }
        let batch = if self.workers.is_empty() {
            let make = AssertUnwindSafe(|| self.work.batch(&self.order, self.epoch, self.next));
            catch_unwind(make).unwrap_or_else(|panic| Err(DataError::Worker(panicked(panic))))
        } else {
            let worker = (self.next - self.first) % self.workers.len();
            let received = self.workers[worker].receiver.recv();
            received.unwrap_or_else(|_| Err(self.workers.swap_remove(worker).stopped()))
        };
        self.next = if batch.is_ok() { self.next + 1 } else { usize::MAX };
        Some(batch)
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        // All receivers go first, so that no thread is waited for while it waits to send.
        let threads: Vec<_> = self.workers.drain(..).filter_map(|worker| worker.thread.ok()).collect();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Distortion, Images};

    fn images(n: usize) -> Images {
        let pixels = (0..n * 9).map(|i| (i * 37 % 256) as u8).collect();
        Images { channels: 1, height: 3, width: 3, pixels, labels: (0..n).map(|i| (i % 10) as u16).collect() }
    }

    fn loader(options: LoaderOptions) -> Loader {
        Loader::new(images(103), InputSpec::lenet(), options).unwrap()
    }

    fn all(loader: &Loader, epoch: u64, first: usize) -> Vec<Batch> {
        loader.epoch(epoch, first).map(Result::unwrap).collect()
    }

    fn shuffled(threads: usize) -> LoaderOptions {
        let augment = Augment { distortion: Some(Distortion::default()), flip: true, ..Augment::default() };
        LoaderOptions { batch_size: 8, seed: 5, threads, shuffle: true, augment, ..Default::default() }
    }

    #[test]
    fn threads_and_a_start_in_the_middle_change_nothing() {
        let expected = all(&loader(shuffled(0)), 3, 0);
        assert_eq!(expected.len(), 13);
        assert_eq!(expected[12].shape, [7, 1, 32, 32]);
        for threads in [0, 1, 2, 5, 40] {
            let loader = loader(shuffled(threads));
            assert_eq!(loader.batches_per_epoch(), 13);
            assert_eq!(all(&loader, 3, 0), expected);
            assert_eq!(all(&loader, 3, 4), expected[4..]);
            assert!(all(&loader, 3, 13).is_empty());
            assert!(all(&loader, 3, usize::MAX).is_empty());
        }
    }

    #[test]
    fn every_image_comes_once_with_its_label() {
        for options in [shuffled(2), LoaderOptions::default()] {
            let batches = all(&loader(options), 0, 0);
            let mut indices: Vec<u32> = batches.iter().flat_map(|b| b.indices.clone()).collect();
            let labels: Vec<u16> = batches.iter().flat_map(|b| b.labels.clone()).collect();
            assert!(indices.iter().zip(labels).all(|(i, label)| i % 10 == u32::from(label)));
            indices.sort_unstable();
            assert!(indices.into_iter().eq(0..103));
        }
    }

    #[test]
    fn orders_are_as_asked() {
        let order = |epoch, shuffle, fixed_order| -> Vec<u32> {
            let options = LoaderOptions { shuffle, fixed_order, ..Default::default() };
            all(&loader(options), epoch, 0).into_iter().flat_map(|b| b.indices).collect()
        };
        assert!(order(1, false, false).into_iter().eq(0..103));
        assert_ne!(order(1, true, false), order(2, true, false));
        assert_eq!(order(1, true, true), order(2, true, true));
        assert_eq!(order(1, true, true), permutation(0, 0, 103));
    }

    #[test]
    fn a_panic_is_an_error_not_a_short_epoch() {
        for threads in [0, 1, 3] {
            let options = LoaderOptions { batch_size: 1, threads, ..Default::default() };
            let mut images = images(10);
            images.labels.truncate(5);
            let broken = Loader(Arc::new(Work { images: images.into(), spec: InputSpec::lenet(), options }));
            let batches: Vec<_> = broken.epoch(0, 0).collect();
            assert_eq!(batches.len(), 6);
            let error = batches[5].as_ref().unwrap_err().to_string();
            assert!(error.contains("it panicked: index out of bounds"), "{error}");
        }
    }

    #[test]
    fn dropping_an_epoch_ends_its_threads() {
        let loader = loader(shuffled(4));
        let mut epoch = loader.epoch(0, 0);
        epoch.next().unwrap().unwrap();
        drop(epoch);
        assert_eq!(Arc::strong_count(&loader.0), 1);
    }

    #[test]
    fn options_are_checked() {
        let refused = |options| Loader::new(images(3), InputSpec::lenet(), options).unwrap_err().to_string();
        assert!(refused(LoaderOptions { batch_size: 0, ..Default::default() }).starts_with("the batch size is 0"));
        assert!(refused(LoaderOptions { threads: 1025, ..Default::default() }).starts_with("1025 loader threads"));
    }
}
