//! Where a network lives: on one device, or its towers on one each.

use crate::thousands;
use anyhow::{Result, bail, ensure};
use burn::tensor::Device;
use models::{Crossing, Model, Network, device, zoo};
use std::fmt;

/// What a command is told about it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct PlacementArguments {
    /// Where to compute: flex, ndarray, or another device linked in [default: flex]
    #[arg(long)]
    device: Option<String>,
    /// A device for each of AlexNet's two towers, as in 2012: --towers flex,ndarray
    #[arg(long, value_name = "A,B", conflicts_with = "device")]
    towers: Option<String>,
}

impl PlacementArguments {
    /// What was asked for, `None` if nothing was.
    ///
    /// # Errors
    /// If there is no such device, or `--towers` doesn't name several.
    pub fn given(&self) -> Result<Option<Placement>> {
        match (&self.device, &self.towers) {
            (Some(device), _) => Ok(Some(Placement { devices: vec![device::parse(device)?], name: device.clone() })),
            (None, Some(towers)) => {
                ensure!(towers.contains(','), "--towers {towers}: expected two devices, as in --towers flex,ndarray");
                Placement::parse(towers).map(Some)
            }
            (None, None) => Ok(None),
        }
    }

    /// What was asked for, as it was written.
    pub fn name(&self) -> &str {
        self.towers.as_deref().or(self.device.as_deref()).unwrap_or("flex")
    }

    /// What was asked for, or flex.
    ///
    /// # Errors
    /// As [`PlacementArguments::given`].
    pub fn or_flex(&self) -> Result<Placement> {
        self.given()?.map_or_else(|| Placement::parse(self.name()), Ok)
    }
}

/// Devices by name: one, or one for each tower.
#[derive(Clone, Debug)]
pub struct Placement {
    name: String,
    devices: Vec<Device>,
}

impl Placement {
    /// The devices in a list like `flex` or `flex,ndarray`.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn parse(names: &str) -> Result<Self> {
        let devices = names.split(',').map(|name| device::parse(name.trim())).collect::<Result<_, _>>()?;
        Ok(Self { name: names.into(), devices })
    }

    /// Where images go in and logits come out.
    pub fn first(&self) -> &Device {
        &self.devices[0]
    }

    /// All of them.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The same devices, keeping what gradients need.
    #[must_use]
    pub fn autodiff(&self) -> Self {
        Self { name: self.name.clone(), devices: self.devices.iter().map(|d| d.clone().autodiff()).collect() }
    }

    /// `network`, which is on the first device, with each tower on its own.
    ///
    /// # Errors
    /// If there are several devices and it hasn't as many towers: says which networks have.
    pub fn place(&self, network: Network) -> Result<Network> {
        if self.devices.len() == 1 {
            return Ok(network);
        }
        let (towers, model) = (network.towers(), &network.model().name);
        if towers == 1 {
            bail!("--towers {self}: {model} has one tower. Those that have two: {}", with_towers()?.join(", "));
        }
        ensure!(towers == self.devices.len(), "--towers {self}: {model} has {towers} towers, a device for each");
        Ok(network.place(&self.devices))
    }

    /// What crosses between the devices for one image; nothing if there is one device.
    pub fn crossings(&self, network: &Network) -> Vec<Crossing> {
        if self.devices.len() == 1 { Vec::new() } else { network.crossings() }
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

    fn build(name: &str, placement: &Placement) -> Result<Network> {
        placement.place(Model::named(name)?.build(0, placement.first())?)
    }

    #[test]
    fn a_network_without_towers_names_those_that_have_them() {
        let error = build("zfnet", &Placement::parse("flex,ndarray").unwrap()).unwrap_err().to_string();
        let expected = "--towers flex,ndarray: zfnet has one tower. Those that have two: alexnet, alexnet-caffenet, \
                        alexnet-bvlc, alexnet-chapter";
        assert_eq!(error, expected);
        let error = build("alexnet", &Placement::parse("flex,ndarray,flex").unwrap()).unwrap_err().to_string();
        assert_eq!(error, "--towers flex,ndarray,flex: alexnet has 2 towers, a device for each");
        assert!(build("zfnet", &Placement::parse("flex").unwrap()).is_ok());
    }

    #[test]
    fn what_crosses_is_told() {
        let placement = Placement::parse("flex,ndarray").unwrap();
        let network = build("alexnet", &placement).unwrap();
        assert_eq!(
            placement.crossings_in_words(&network).unwrap(),
            "towers on flex and ndarray: 234,496 bytes cross for each image, \
             conv3 173,056, fc6 36,864, fc7 16,384, fc8 8,192"
        );
        assert_eq!(Placement::parse("flex").unwrap().crossings_in_words(&network), None);
    }
}
