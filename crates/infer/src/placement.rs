//! Where a network lives: on one device, its towers on one each, or a copy of it on each of several.

use crate::thousands;
use anyhow::{Result, bail, ensure};
use burn::tensor::Device;
use models::{Crossing, Model, Network, device, zoo};
use std::fmt;

/// What a command is told about it.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementArguments {
    /// Where to compute: flex, ndarray, or another device linked in [default: flex]. Training shares out each batch to
    /// several: --device cuda:0,cuda:1
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// A device for each of AlexNet's two towers, as in 2012: --towers flex,ndarray
    #[arg(long, value_name = "A,B", conflicts_with = "device")]
    pub towers: Option<String>,
}

impl PlacementArguments {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What was asked for, as it was written.
    pub fn name(&self) -> &str {
        self.towers.as_deref().or(self.device.as_deref()).unwrap_or("flex")
    }

    /// What was asked for, or flex.
    ///
    /// # Errors
    /// If there is no such device, or `--towers` doesn't name several.
    pub fn place(&self) -> Result<Placement> {
        let (name, towers) = (self.name(), self.towers.is_some());
        ensure!(!towers || name.contains(','), "--towers {name}: expected two devices, as in --towers flex,ndarray");
        let devices = name.split(',').map(|one| device::parse(one.trim())).collect::<Result<_, _>>()?;
        Ok(Placement { name: name.into(), devices, towers })
    }

    /// As [`PlacementArguments::place`], for a command that needs the network once.
    ///
    /// # Errors
    /// If `--device` names several, too.
    pub fn place_once(&self) -> Result<Placement> {
        let placement = self.place()?;
        let devices = &placement.name;
        ensure!(
            placement.replicas().count() == 1,
            "{}; AlexNet's towers can be on two: --towers {devices}",
            several(devices)
        );
        Ok(placement)
    }
}

/// What a command is told that computes on one device and knows no towers.
#[derive(clap::Args, Clone, Debug)]
pub struct DeviceArgument {
    /// Where to compute: flex, ndarray, or another device linked in
    #[arg(long, value_name = "DEVICE", default_value = "flex")]
    device: String,
}

impl DeviceArgument {
    /// The device's name; whether there is such a device is another question.
    ///
    /// # Errors
    /// If it names several.
    pub fn name(&self) -> Result<&str> {
        ensure!(!self.device.contains(','), several(&self.device));
        Ok(&self.device)
    }
}

fn several(devices: &str) -> String {
    format!("--device {devices}: only training computes on several devices. Name one")
}

/// Devices by name: one, one for each tower, or one for each replica.
#[derive(Clone, Debug)]
pub struct Placement {
    name: String,
    devices: Vec<Device>,
    /// Whether they share one network.
    towers: bool,
}

impl Placement {
    /// Where images go in and logits come out.
    pub fn first(&self) -> &Device {
        &self.devices[0]
    }

    /// As it would be asked for: `--device flex`, `--towers flex,ndarray`.
    pub fn flag(&self) -> String {
        format!("{} {}", if self.towers { "--towers" } else { "--device" }, self.name)
    }

    /// All of them.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The devices of each replica of the network, the original's first.
    pub fn replicas(&self) -> impl ExactSizeIterator<Item = &[Device]> {
        self.devices.chunks(if self.towers { self.devices.len() } else { 1 })
    }

    /// The same devices, keeping what gradients need.
    #[must_use]
    pub fn autodiff(&self) -> Self {
        Self { devices: self.devices.iter().map(|d| d.clone().autodiff()).collect(), ..self.clone() }
    }

    /// `network`, which is on the first device, with each tower on its own.
    ///
    /// # Errors
    /// If the devices are its towers' and it hasn't as many: says which networks have.
    pub fn place(&self, network: Network) -> Result<Network> {
        if !self.towers {
            return Ok(network);
        }
        let (towers, model) = (network.towers(), &network.model().name);
        if towers == 1 {
            bail!("--towers {self}: {model} has one tower. Those that have two: {}", with_towers()?.join(", "));
        }
        ensure!(towers == self.devices.len(), "--towers {self}: {model} has {towers} towers, a device for each");
        Ok(network.place(&self.devices))
    }

    /// Whether the replicas' devices are CUDA's, several, each named once, as NCCL wants them; whether it is here is
    /// [`device::has_nccl`]'s to say.
    pub fn is_for_nccl(&self) -> bool {
        let cuda = |name: &str| name.trim().split(':').next() == Some("cuda");
        let again = |(i, device): (usize, &Device)| self.devices[..i].contains(device);
        !self.towers
            && self.devices.len() > 1
            && self.name.split(',').all(cuda)
            && !self.devices.iter().enumerate().any(again)
    }

    /// How batches are shared out to several replicas, and what crosses for that in a step; `None` if there is one.
    pub fn replicas_in_words(&self, batch: usize, network: &Network) -> Option<String> {
        let (replicas, bytes) = (self.replicas().len(), 4 * network.parameters());
        let crossing = if self.is_for_nccl() && device::has_nccl() {
            let each = thousands(2 * (replicas - 1) * bytes / replicas);
            format!("NCCL adds gradients up on all of them, {each} bytes out of and into each in a step")
        } else {
            let nccl =
                if self.is_for_nccl() { " (NCCL, which needs less, isn't here: it takes libnccl-dev)" } else { "" };
            let bytes = thousands(bytes);
            format!(
                "{bytes} bytes of weights go to each of the others before a step, as many of gradients come back{nccl}"
            )
        };
        (replicas > 1).then(|| {
            let (least, most) = (batch / replicas, batch.div_ceil(replicas));
            let each = if least == most { least.to_string() } else { format!("{least} or {most}") };
            format!("{replicas} replicas, each with {each} of a batch's {batch} images: {crossing}")
        })
    }

    /// What crosses between the towers for one image; nothing if they are on one device.
    pub fn crossings(&self, network: &Network) -> Vec<Crossing> {
        if self.towers { network.crossings() } else { Vec::new() }
    }

    /// [`Placement::crossings`] in words; `None` if nothing crosses.
    pub fn crossings_in_words(&self, network: &Network) -> Option<String> {
        let crossings = self.crossings(network);
        if crossings.is_empty() {
            return None;
        }
        let bytes = crossings.iter().map(|c| c.bytes_per_image).sum();
        let each: Vec<_> = crossings.iter().map(|c| format!("{} {}", c.layer, thousands(c.bytes_per_image))).collect();
        let (devices, bytes) = (self.name.replace(',', " and "), thousands(bytes));
        Some(format!("towers on {devices}: {bytes} bytes cross for each image, {}", each.join(", ")))
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The networks with more than one tower. Their weights aren't drawn for that.
fn with_towers() -> Result<Vec<&'static str>> {
    let device = device::parse("flex")?;
    let mut names = Vec::new();
    for variant in zoo::variants() {
        if Model::named(variant.name)?.build(0, &device)?.towers() > 1 {
            names.push(variant.name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towers(devices: &str) -> Placement {
        PlacementArguments { device: None, towers: Some(devices.into()) }.place().unwrap()
    }

    fn build(name: &str, placement: &Placement) -> Result<Network> {
        placement.place(Model::named(name)?.build(0, placement.first())?)
    }

    #[test]
    fn a_network_without_towers_names_those_that_have_them() {
        let error = build("zfnet", &towers("flex,ndarray")).unwrap_err().to_string();
        let expected = "--towers flex,ndarray: zfnet has one tower. Those that have two: alexnet, alexnet-caffenet, \
                        alexnet-bvlc, alexnet-chapter";
        assert_eq!(error, expected);
        let error = build("alexnet", &towers("flex,ndarray,flex")).unwrap_err().to_string();
        assert_eq!(error, "--towers flex,ndarray,flex: alexnet has 2 towers, a device for each");
        assert!(build("zfnet", &PlacementArguments::default().place().unwrap()).is_ok());
    }

    #[test]
    fn what_crosses_is_told() {
        let placement = towers("flex,ndarray");
        let network = build("alexnet", &placement).unwrap();
        assert_eq!(
            placement.crossings_in_words(&network).unwrap(),
            "towers on flex and ndarray: 234,496 bytes cross for each image, \
             conv3 173,056, fc6 36,864, fc7 16,384, fc8 8,192"
        );
        assert_eq!(PlacementArguments::default().place().unwrap().crossings_in_words(&network), None);
    }

    #[test]
    fn what_crosses_between_replicas_is_told() {
        let of = |devices: &str| PlacementArguments { device: Some(devices.into()), towers: None }.place().unwrap();
        let network = build("lenet5", &of("flex")).unwrap();
        assert_eq!(
            of("flex,ndarray").replicas_in_words(25, &network).unwrap(),
            "2 replicas, each with 12 or 13 of a batch's 25 images: 243,400 bytes of weights go to each of the others \
             before a step, as many of gradients come back"
        );
        assert_eq!(of("flex").replicas_in_words(25, &network), None);
    }

    #[test]
    fn several_devices_are_replicas_or_towers() {
        let arguments = PlacementArguments { device: Some("flex,ndarray,flex".into()), towers: None };
        let placement = arguments.place().unwrap();
        assert_eq!(placement.replicas().map(<[Device]>::len).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(placement.crossings(&build("alexnet", &placement).unwrap()).is_empty());
        assert_eq!(towers("flex,ndarray").replicas().map(<[Device]>::len).collect::<Vec<_>>(), [2]);
        assert!(!placement.is_for_nccl() && !towers("flex,ndarray").is_for_nccl());
        let error = arguments.place_once().unwrap_err().to_string();
        assert!(error.starts_with("--device flex,ndarray,flex: only training computes on several"), "{error}");
    }
}
