//! Walking over a network's weights by name: `C1.weight`, `C3.kernels`, `conv2.b.bias`.

use crate::network::Network;
use alloc::string::String;
use alloc::vec::Vec;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Sees every weight of a network.
pub trait ParamVisitor {
    /// The weight `name`.
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>);
}

/// Replaces every weight of a network.
pub trait ParamMapper {
    /// What takes the place of the weight `name`.
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

impl Network {
    /// Shows every weight to `visitor`, in the order of the layers.
    pub fn visit_params(&self, visitor: &mut impl ParamVisitor) {
        for slot in &self.slots {
            let mut walk = Walk { path: Path::new(&slot.name, towers(&slot.op)), with: &mut *visitor };
            slot.op.visit(&mut walk);
        }
    }

    /// The network with every weight replaced by what `mapper` makes of it, in the order of the layers.
    #[must_use]
    pub fn map_params(mut self, mapper: &mut impl ParamMapper) -> Self {
        self.update_params(mapper);
        self
    }

    /// As [`Network::map_params`], where the network is: nobody else then holds a weight that is mapped.
    pub fn update_params(&mut self, mapper: &mut impl ParamMapper) {
        self.slots = (core::mem::take(&mut self.slots).into_iter())
            .map(|mut slot| {
                let mut walk = Walk { path: Path::new(&slot.name, towers(&slot.op)), with: &mut *mapper };
                slot.op = slot.op.map(&mut walk);
                slot
            })
            .collect();
    }

    /// Every weight's name and shape, in the order of the layers.
    pub fn param_shapes(&self) -> Vec<(String, Vec<usize>)> {
        struct Shapes(Vec<(String, Vec<usize>)>);
        impl ParamVisitor for Shapes {
            fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
                self.0.push((name.into(), param.lazy_shape().to_vec()));
            }
        }
        let mut shapes = Shapes(Vec::new());
        self.visit_params(&mut shapes);
        shapes.0
    }
}

/// How many towers share a layer.
fn towers(op: &crate::layer::Op) -> usize {
    struct Most(usize);
    impl ModuleVisitor for Most {
        fn enter_module(&mut self, name: &str, container: &str) {
            if container == "Vec" {
                self.0 = self.0.max(name.parse::<usize>().map_or(0, |i| i + 1));
            }
        }
    }
    let mut most = Most(1);
    op.visit(&mut most);
    most.0
}

/// Burn's path through a layer's structs, shortened to what the layer is called and what its weight is called.
struct Path {
    parts: Vec<String>,
    towers: usize,
}

impl Path {
    fn new(layer: &str, towers: usize) -> Self {
        Self { parts: alloc::vec![layer.into()], towers }
    }

    /// Empty parts leave no trace in the name: enum variants, the list of towers, the only tower.
    fn enter(&mut self, name: &str, container: &str) {
        let part = match container {
            "Vec" if self.towers == 1 => String::new(),
            "Vec" => name.parse().map_or_else(|_| name.into(), |t| crate::layers::tower_name(t).into()),
            _ if container.starts_with("Enum:") || name == "towers" => String::new(),
            _ => name.into(),
        };
        self.parts.push(part);
    }

    fn name(&self) -> String {
        self.parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

struct Walk<'a, T> {
    path: Path,
    with: &'a mut T,
}

impl<T: ParamVisitor> ModuleVisitor for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.parts.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.with.visit(&self.path.name(), param);
    }
}

impl<T: ParamMapper> ModuleMapper for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.parts.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.with.map(&self.path.name(), param)
    }
}
