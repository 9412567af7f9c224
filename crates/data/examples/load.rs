//! How many images a second a loader makes for training: `load NETWORK DATASET THREADS`. AlexNet's and ZFNet's images are
//! cut, mirrored and lit anew; the others' are moved by up to 4 pixels and mirrored. Beside it, `load.py` has torchvision.

use data::{Augment, Crop, Loader, LoaderOptions, open};
use models::{Model, device};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [network, dataset, threads] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: load NETWORK DATASET THREADS".into());
    };
    let spec = Model::named(network)?.build(0, &device::parse("flex")?)?.input().clone();
    let augment = match spec.height {
        0..100 => Augment { crop: Some(Crop::Pad(4)), flip: true, ..Augment::default() },
        _ => Augment { crop: Some(Crop::Random), flip: true, lighting: 0.1, ..Augment::default() },
    };
    let train = open(dataset.as_ref())?.train;
    let options =
        LoaderOptions { batch_size: 128, threads: threads.parse()?, shuffle: true, augment, ..Default::default() };
    let loader = Loader::new(train, spec, options)?;
    for epoch in 0..4 {
        let (start, mut images) = (Instant::now(), 0);
        for batch in loader.epoch(epoch, 0) {
            images += batch?.labels.len();
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("{images} images in {seconds:.2} s: {:.0} images/s", images as f64 / seconds);
    }
    Ok(())
}
