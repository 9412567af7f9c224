//! Global contrast normalisation and ZCA whitening: learnt from a training set, carried out on images.

use crate::{DataError, OnBadImage, Samples, prepare::View, write::whole};
use gemm::Parallelism;
use models::{InputSpec, Statistics, Whitening};
use sha2::{Digest, Sha256};
use std::{fs, path::Path, sync::Arc};

/// Images whitened at a time; fewer are filled up with zeros, so that an image's numbers don't depend on its company.
const TOGETHER: usize = 16;
/// Images that the covariance is summed over at a time.
const SUMMED: usize = 512;
/// Most numbers of an image: their square is kept, twice, in f64.
const NUMBERS: usize = 4096;
/// Begins a file of statistics.
const MAGIC: &[u8; 8] = b"whiten01";

/// Whitens images of `spec` one behind the other, if it asks for that.
///
/// # Errors
/// The statistics are missing, or don't fit.
pub(crate) fn whiten(spec: &InputSpec, images: &mut [f32]) -> Result<(), DataError> {
    let Some(whitening) = &spec.whitening else { return Ok(()) };
    let missing = || DataError::Invalid("whitening: the training set's statistics are missing".into());
    let Statistics { mean, matrix } = &**whitening.statistics.as_ref().ok_or_else(missing)?;
    let d = mean.len();
    let (mut centred, mut product) = (vec![0.0; TOGETHER * d], vec![0.0; TOGETHER * d]);
    for images in images.chunks_mut(TOGETHER * d) {
        centred.fill(0.0);
        for (image, centred) in images.chunks_exact_mut(d).zip(centred.chunks_exact_mut(d)) {
            normalise_contrast(image, whitening.contrast);
            centred.iter_mut().zip(image).zip(mean).for_each(|((c, x), m)| *c = *x - m);
        }
        multiply([TOGETHER, d, d], &centred, [d, 1], matrix, [d, 1], &mut product, Parallelism::None);
        images.copy_from_slice(&product[..images.len()]);
    }
    Ok(())
}

/// Subtracts the mean and scales to `length`; an image of one shade stays at 0 (pylearn2's `global_contrast_normalize`).
fn normalise_contrast(image: &mut [f32], length: f32) {
    let mean = image.iter().map(|x| f64::from(*x)).sum::<f64>() / image.len() as f64;
    image.iter_mut().for_each(|x| *x -= mean as f32);
    let norm = image.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let scale = if norm < 1e-8 { 1.0 } else { f64::from(length) / norm };
    image.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
}

/// Learns the statistics of `whitening` from `train`, framed and scaled as `spec` says, or reads them from the file that an
/// earlier call left in the directory `cache`, or beside `cache` if that is an archive. The file is whole or absent; where
/// it can't be written, the error comes beside the whitening. Images that can't be read are left out if `on_bad_image` says
/// so.
///
/// # Errors
/// An image, or every one, can't be read, or has too many numbers; the covariance has no inverse root.
pub fn fit_whitening(
    spec: &InputSpec,
    whitening: &Whitening,
    train: &Samples,
    on_bad_image: OnBadImage,
    cache: Option<&Path>,
) -> Result<(Whitening, Option<DataError>), DataError> {
    let spec = InputSpec { whitening: None, ..spec.clone() };
    let d: usize = spec.shape().iter().product();
    if d > NUMBERS || train.is_empty() {
        let problem = format!("whitening: {} images of {d} numbers, expected some of at most {NUMBERS}", train.len());
        return Err(DataError::Invalid(problem));
    }
    let (mut digest, mut sum, mut squares) = (Sha256::new(), vec![0.0_f64; d], Vec::new());
    digest.update(format!("{spec:?} {} {} {}", whitening.contrast, whitening.ridge, train.len()));
    let mut first_problem = None;
    let mut leave_out = |problem| match on_bad_image {
        OnBadImage::Fail => Err(problem),
        OnBadImage::Skip => {
            first_problem.get_or_insert(problem);
            Ok(())
        }
    };
    // A first look at the images tells whether the file is theirs.
    for i in 0..train.len() {
        match train.image(i) {
            Ok(image) => digest.update(&image.pixels),
            Err(problem) => leave_out(problem)?,
        }
    }
    let digest = digest.finalize();
    let name: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
    let name = format!("whitening-{name}.stats");
    let path = cache.map(|cache| match cache.file_name() {
        Some(archive) if !cache.is_dir() => cache.with_file_name(format!("{}.{name}", archive.to_string_lossy())),
        _ => cache.join(&name),
    });
    let whitened = |statistics| Whitening { statistics: Some(Arc::new(statistics)), ..whitening.clone() };
    if let Some(statistics) = path.as_ref().and_then(|path| decode(&fs::read(path).ok()?, d, &digest)) {
        return Ok((whitened(statistics), None));
    }
    squares.resize(d * d, 0.0_f64);
    let (mut rows, mut product, mut images) = (Vec::new(), vec![0.0_f32; d * d], 0);
    for start in (0..train.len()).step_by(SUMMED) {
        let end = train.len().min(start + SUMMED);
        rows.resize((end - start) * d, 0.0_f32);
        let mut n = 0;
        for i in start..end {
            let row = &mut rows[n * d..][..d];
            if let Err(problem) = train.frame_into(i, &spec, &View::default(), row) {
                leave_out(problem)?;
                continue;
            }
            normalise_contrast(row, whitening.contrast);
            sum.iter_mut().zip(row).for_each(|(s, x)| *s += f64::from(*x));
            n += 1;
        }
        if n > 0 {
            let rows = &rows[..n * d];
            multiply([d, n, d], rows, [1, d], rows, [d, 1], &mut product, Parallelism::Rayon(0));
            squares.iter_mut().zip(&product).for_each(|(s, p)| *s += f64::from(*p));
        }
        images += n;
    }
    if let (0, Some(problem)) = (images, first_problem) {
        let all = train.len();
        return Err(DataError::Invalid(format!("whitening: none of {all} images can be read. The first: {problem}")));
    }
    let n = images as f64;
    let mean: Vec<f64> = sum.iter().map(|s| s / n).collect();
    for (i, row) in squares.chunks_exact_mut(d).enumerate() {
        row.iter_mut().zip(&mean).for_each(|(c, m)| *c = *c / n - mean[i] * m);
        row[i] += f64::from(whitening.ridge);
    }
    let matrix = inverse_root(&squares, d)?;
    let statistics = Statistics { mean: mean.iter().map(|m| *m as f32).collect(), matrix };
    let unkept = path.and_then(|path| {
        let written = whole(&path, &encode(&statistics, &digest));
        written.err().map(|cause| DataError::Write { path, cause })
    });
    Ok((whitened(statistics), unkept))
}

/// C^-1/2 of a symmetric, positive definite matrix: Newton's iteration in Denman and Beavers' product form, coupled, all
/// of it matrix products (Higham, Functions of Matrices, 6.3).
fn inverse_root(c: &[f64], d: usize) -> Result<Vec<f32>, DataError> {
    // The largest row sum bounds the largest eigenvalue: eigenvalues of y are in (0, 1].
    let bound = c.chunks_exact(d).map(|row| row.iter().map(|x| x.abs()).sum::<f64>()).fold(0.0, f64::max);
    let mut y: Vec<f64> = c.iter().map(|x| x / bound).collect();
    let mut z = vec![0.0; d * d];
    z.iter_mut().step_by(d + 1).for_each(|x| *x = 1.0);
    let (mut step, mut next) = (vec![0.0; d * d], vec![0.0; d * d]);
    let product = |a: &[f64], b: &[f64], out: &mut [f64]| {
        multiply([d, d, d], a, [d, 1], b, [d, 1], out, Parallelism::Rayon(0));
    };
    for _ in 0..60 {
        product(&z, &y, &mut step); // towards the identity
        let off = |(i, x): (usize, &f64)| (x - f64::from(u8::from(i % (d + 1) == 0))).abs();
        let distance = step.iter().enumerate().map(off).fold(0.0, f64::max);
        if !distance.is_finite() {
            break;
        }
        // The error squares with each step: what is left is below what f32 can hold.
        if distance < 1e-7 {
            let scale = bound.sqrt();
            return Ok(z.iter().map(|x| (x / scale) as f32).collect());
        }
        step.iter_mut().for_each(|x| *x *= -0.5);
        step.iter_mut().step_by(d + 1).for_each(|x| *x += 1.5);
        product(&y, &step, &mut next);
        std::mem::swap(&mut y, &mut next);
        product(&step, &z, &mut next);
        std::mem::swap(&mut z, &mut next);
    }
    Err(DataError::Invalid("whitening: the images' covariance has no inverse root; use a larger ridge".into()))
}

/// `out = a b` for matrices `[m, k]` and `[k, n]`; given are the distances of rows and of columns in `a` and in `b`.
fn multiply<T: Copy + From<u8> + 'static>(
    [m, k, n]: [usize; 3],
    a: &[T],
    [a_row, a_column]: [usize; 2],
    b: &[T],
    [b_row, b_column]: [usize; 2],
    out: &mut [T],
    threads: Parallelism,
) {
    assert!(a.len() == m * k && b.len() == k * n && out.len() == m * n, "[{m}, {k}, {n}]");
    assert!(
        [(a_row, a_column, m, k), (b_row, b_column, k, n)]
            .iter()
            .all(|&(row, column, rows, columns)| { (row, column) == (columns, 1) || (row, column) == (1, rows) })
    );
    // SAFETY: by the assertions every element that these distances lead to is inside its slice, and `out` is ours alone.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            b_column as isize,
            b_row as isize,
            T::from(0),
            T::from(1),
            false,
            false,
            false,
            threads,
        );
    }
}

/// A file of statistics: magic, the digest of what they were learnt from, numbers, the digest of all before.
fn encode(Statistics { mean, matrix }: &Statistics, digest: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(digest);
    bytes.extend(mean.iter().chain(matrix).flat_map(|x| x.to_le_bytes()));
    let end = Sha256::digest(&bytes);
    bytes.extend_from_slice(&end);
    bytes
}

/// `None` for a file of something else, or a damaged one.
fn decode(bytes: &[u8], d: usize, digest: &[u8]) -> Option<Statistics> {
    let (body, end) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    let numbers = body.strip_prefix(MAGIC.as_slice())?.strip_prefix(digest)?;
    if numbers.len() != 4 * (d + d * d) || Sha256::digest(body).as_slice() != end {
        return None;
    }
    let mut numbers = numbers.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    Some(Statistics { mean: numbers.by_ref().take(d).collect(), matrix: numbers.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Images, Picture, Source};
    use models::{Framing, Normalise};

    const D: usize = 12;

    fn spec() -> InputSpec {
        let normalise = Normalise::Range { background: 0.0, ink: 255.0 };
        let framing = Framing::ResizeCrop { shorter: 2 };
        InputSpec { channels: 3, height: 2, width: 2, framing, normalise, whitening: None }
    }

    fn images(n: usize) -> Images {
        let mut rng = crate::random::stream(1, crate::random::Purpose::Synthetic, 0, 0);
        let mut image = || -> Vec<u8> {
            use crate::random::Rng;
            let base = (rng.next_u32() >> 25) as u8;
            (0..D).map(|i| base + (rng.next_u32() >> (25 + i / 4)) as u8).collect()
        };
        let pixels = (0..n).flat_map(|_| image()).collect();
        Images { channels: 3, height: 2, width: 2, pixels, labels: vec![0; n] }
    }

    fn fit(train: impl Into<Samples>, on_bad_image: OnBadImage, cache: Option<&Path>) -> Result<Whitening, DataError> {
        fit_or_say(train, on_bad_image, cache).map(|(fitted, _)| fitted)
    }

    fn fit_or_say(
        train: impl Into<Samples>,
        on_bad_image: OnBadImage,
        cache: Option<&Path>,
    ) -> Result<(Whitening, Option<DataError>), DataError> {
        let whitening = Whitening { contrast: 3.0, ridge: 1e-4, statistics: None };
        fit_whitening(&spec(), &whitening, &train.into(), on_bad_image, cache)
    }

    fn fitted(cache: Option<&Path>) -> InputSpec {
        InputSpec { whitening: Some(fit(images(2000), OnBadImage::Fail, cache).unwrap()), ..spec() }
    }

    /// Images of which the fourth can't be read.
    #[derive(Debug)]
    struct Torn(Images);

    impl Source for Torn {
        fn count(&self) -> usize {
            self.0.len()
        }

        fn label(&self, i: usize) -> u16 {
            self.0.labels[i]
        }

        fn image(&self, i: usize) -> Result<Picture<'_>, DataError> {
            if i == 3 { Err(DataError::Invalid("torn".into())) } else { Source::image(&self.0, i) }
        }
    }

    #[test]
    fn a_bad_image_is_left_out_or_fatal() {
        let torn = |n| Samples::new(Torn(images(n)));
        let mut others = images(100);
        others.pixels.drain(3 * D..4 * D);
        assert_eq!(fit(torn(100), OnBadImage::Skip, None).unwrap(), fit(others, OnBadImage::Skip, None).unwrap());
        assert_eq!(fit(torn(100), OnBadImage::Fail, None).unwrap_err().to_string(), "torn");
        let (_, only) = torn(4).split_off_last(1).unwrap();
        let error = fit(only, OnBadImage::Skip, None).unwrap_err().to_string();
        assert_eq!(error, "whitening: none of 1 images can be read. The first: torn");
    }

    #[test]
    fn whitened_images_have_no_covariance_left() {
        let (spec, samples) = (fitted(None), Samples::from(images(2000)));
        let mut numbers = vec![0.0; 2000 * D];
        for (i, out) in numbers.chunks_exact_mut(D).enumerate() {
            crate::prepare_into(&spec, samples.image(i).unwrap().view(), out).unwrap();
        }
        let covariance =
            |a: usize, b: usize| -> f32 { numbers.chunks_exact(D).map(|x| x[a] * x[b]).sum::<f32>() / 2000.0 };
        // An image's mean is taken away, so that one direction has no variance: the sum of a row is 0, all others 1.
        for a in 0..D {
            for b in 0..D {
                let expected = if a == b { 1.0 } else { 0.0 } - 1.0 / D as f32;
                assert!((covariance(a, b) - expected).abs() < 0.01, "{a} {b}: {}", covariance(a, b));
            }
        }
    }

    #[test]
    fn the_root_is_a_root() {
        // By hand: [[2, 1], [1, 2]] has eigenvalues 1 and 3.
        let root = inverse_root(&[2.0, 1.0, 1.0, 2.0], 2).unwrap();
        let third = 1.0 / 3f32.sqrt();
        for (got, expected) in root.iter().zip([1.0 + third, third - 1.0, third - 1.0, 1.0 + third]) {
            assert!((got - expected / 2.0).abs() < 1e-6, "{root:?}");
        }
        inverse_root(&[1.0, 2.0, 2.0, 1.0], 2).unwrap_err();
    }

    #[test]
    fn company_changes_nothing() {
        let spec = fitted(None);
        let mut many: Vec<f32> = (0..40 * D).map(|i| (i * 7 % 11) as f32).collect();
        let mut one = many[17 * D..18 * D].to_vec();
        whiten(&spec, &mut many).unwrap();
        whiten(&spec, &mut one).unwrap();
        assert_eq!(one, many[17 * D..18 * D]);
    }

    #[test]
    fn statistics_are_kept_whole_and_a_damaged_file_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let first = fitted(Some(dir.path()));
        let path = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let digest = &bytes[8..40];
        assert_eq!(decode(&bytes, D, digest).as_ref(), first.whitening.as_ref().unwrap().statistics.as_deref());
        for damaged in [&bytes[..bytes.len() - 1], &[&bytes[..100], &[bytes[100] ^ 1], &bytes[101..]].concat()] {
            assert_eq!(decode(damaged, D, digest), None);
            fs::write(&path, damaged).unwrap();
            assert_eq!(fitted(Some(dir.path())), first);
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn an_archive_s_statistics_are_kept_beside_it_and_what_can_t_be_kept_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("cifar.tar.gz");
        fs::write(&archive, "").unwrap();
        let fit = |cache: &Path| fit_or_say(images(50), OnBadImage::Fail, Some(cache)).unwrap();
        let (fitted, unkept) = fit(&archive);
        assert!(unkept.is_none(), "{unkept:?}");
        let names = || fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let kept: Vec<_> = names().filter(|name| name != "cifar.tar.gz").collect();
        assert!(kept.len() == 1 && kept[0].starts_with("cifar.tar.gz.whitening-"), "{kept:?}");
        // The second time it is read, and not written again.
        let path = dir.path().join(&kept[0]);
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(fit(&archive).0, fitted);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);

        let (again, unkept) = fit(&dir.path().join("absent").join("cifar.tar.gz"));
        assert_eq!(again, fitted);
        let said = unkept.unwrap().to_string();
        assert!(said.contains("cifar.tar.gz.whitening-") && said.contains(": cannot be written: "), "{said}");
    }
}
