//! The operators' derivatives, for every backend.

use crate::choice::Dropout;
use crate::ops::{Avg, Conv, Function, Kernels, Lrn, Pool, Sgd};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};

/// An operator whose derivatives are known.
macro_rules! backward {
    ($name:ident, $parents:literal, $state:ty, |$parents_name:ident, $state_name:pat_param, $dy:ident, $grads:ident| $body:block) => {
        #[derive(Clone, Debug)]
        struct $name;
        impl<B: Kernels> Backward<B, $parents> for $name {
            type State = $state;
            fn backward(self, ops: Ops<Self::State, $parents>, $grads: &mut Gradients, _: &mut Checkpointer) {
                let $dy = $grads.consume::<B>(&ops.node);
                let $parents_name = ops.parents;
                let $state_name = ops.state;
                $body
            }
        }
    };
}

type F<B> = FloatTensor<B>;

backward!(ConvStep, 3, (F<B>, F<B>, F<B>, Conv, Function), |parents, (x, weight, y, conv, function), dy, grads| {
    let dz = B::through(y, dy, function);
    let [for_x, for_weight, for_bias] = parents;
    if let Some(node) = for_x {
        grads.register::<B>(node.id, B::conv_dx(x.clone(), weight.clone(), dz.clone(), conv));
    }
    if let Some(node) = for_weight {
        grads.register::<B>(node.id, B::conv_dw(x, weight, dz.clone(), conv));
    }
    if let Some(node) = for_bias {
        grads.register::<B>(node.id, B::sum_maps(dz));
    }
});

backward!(LinearStep, 3, (F<B>, F<B>, F<B>, Function), |parents, (x, weight, y, function), dy, grads| {
    let dz = B::through(y, dy, function);
    let [for_x, for_weight, for_bias] = parents;
    if let Some(node) = for_x {
        grads.register::<B>(node.id, B::fully_connected_dx(weight, dz.clone()));
    }
    if let Some(node) = for_weight {
        grads.register::<B>(node.id, B::fully_connected_dw(x, dz.clone()));
    }
    if let Some(node) = for_bias {
        grads.register::<B>(node.id, B::sum_maps(dz));
    }
});

backward!(SubsampleStep, 3, (F<B>, F<B>, F<B>, Avg, Function), |parents, (x, weight, y, avg, function), dy, grads| {
    let dz = B::through(y, dy, function);
    let [for_x, for_weight, for_bias] = parents;
    if let Some(node) = for_x {
        grads.register::<B>(node.id, B::subsample_dx(x.clone(), weight, dz.clone(), avg));
    }
    if let Some(node) = for_weight {
        grads.register::<B>(node.id, B::subsample_dw(x, dz.clone(), avg));
    }
    if let Some(node) = for_bias {
        grads.register::<B>(node.id, B::sum_maps(dz));
    }
});

backward!(ApplyStep, 1, (F<B>, Function), |parents, (y, function), dy, grads| {
    if let [Some(node)] = parents {
        grads.register::<B>(node.id, B::through(y, dy, function));
    }
});

backward!(LrnStep, 1, (F<B>, F<B>, Lrn), |parents, (x, y, lrn), dy, grads| {
    if let [Some(node)] = parents {
        grads.register::<B>(node.id, B::lrn_dx(x, y, dy, lrn));
    }
});

backward!(MaxPoolStep, 1, (F<B>, F<B>, Pool), |parents, (x, y, pool), dy, grads| {
    if let [Some(node)] = parents {
        grads.register::<B>(node.id, B::max_pool_dx(x, y, dy, pool));
    }
});

backward!(AvgPoolStep, 1, (F<B>, Avg), |parents, (x, avg), dy, grads| {
    if let [Some(node)] = parents {
        grads.register::<B>(node.id, B::avg_pool_dx(x, dy, avg));
    }
});

backward!(OverlapAvgPoolStep, 1, (F<B>, Pool), |parents, (x, pool), dy, grads| {
    if let [Some(node)] = parents {
        grads.register::<B>(node.id, B::overlap_avg_pool_dx(x, dy, pool));
    }
});

backward!(DropoutStep, 1, Dropout, |parents, dropout, dy, grads| {
    if let [Some(node)] = parents {
        grads.register::<B>(node.id, B::dropout(dy, dropout));
    }
});

backward!(CrossEntropyStep, 1, (F<B>, IntTensor<B>), |parents, (logits, labels), dy, grads| {
    if let [Some(node)] = parents {
        grads.register::<B>(node.id, B::cross_entropy_dx(logits, labels, dy));
    }
});

/// Runs the operator, and remembers what its derivative needs if one will be asked for.
macro_rules! tracked {
    ($step:ident, [$($parent:ident),+], $output:expr, |$y:ident| $state:expr) => {{
        let nodes = [$($parent.node()),+];
        $(let $parent = $parent.into_primitive();)+
        match $step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let $y = $output;
                prep.finish($state, $y.clone())
            }
            OpsKind::UnTracked(prep) => prep.finish($output),
        }
    }};
}

const FIRST_ORDER: &str = "the kernels' derivatives are first order";

impl<B: Kernels, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn apply(x: F<Self>, function: Function) -> F<Self> {
        tracked!(ApplyStep, [x], B::apply(x.clone(), function), |y| (y.clone(), function))
    }

    fn through(_: F<Self>, _: F<Self>, _: Function) -> F<Self> {
        unimplemented!("{FIRST_ORDER}")
    }

    fn conv(x: F<Self>, weight: F<Self>, bias: F<Self>, conv: Conv, function: Function, _: bool) -> F<Self> {
        tracked!(ConvStep, [x, weight, bias], B::conv(x.clone(), weight.clone(), bias, conv, function, false), |y| {
            (x, weight, y.clone(), conv, function)
        })
    }

    fn conv_dx(_: F<Self>, _: F<Self>, _: F<Self>, _: Conv) -> F<Self> {
        unimplemented!("{FIRST_ORDER}")
    }

    fn conv_dw(_: F<Self>, _: F<Self>, _: F<Self>, _: Conv) -> F<Self> {
        unimplemented!("{FIRST_ORDER}")
    }

    fn fully_connected(x: F<Self>, weight: F<Self>, bias: F<Self>, function: Function) -> F<Self> {
        tracked!(LinearStep, [x, weight, bias], B::fully_connected(x.clone(), weight.clone(), bias, function), |y| (
            x,
            weight,
            y.clone(),
            function
        ))
    }

    fn lrn(x: F<Self>, lrn: Lrn) -> F<Self> {
        tracked!(LrnStep, [x], B::lrn(x.clone(), lrn), |y| (x, y.clone(), lrn))
    }

    fn lrn_dx(_: F<Self>, _: F<Self>, _: F<Self>, _: Lrn) -> F<Self> {
        unimplemented!("{FIRST_ORDER}")
    }

    fn max_pool(x: F<Self>, pool: Pool) -> F<Self> {
        tracked!(MaxPoolStep, [x], B::max_pool(x.clone(), pool), |y| (x, y.clone(), pool))
    }

    fn max_pool_dx(_: F<Self>, _: F<Self>, _: F<Self>, _: Pool) -> F<Self> {
        unimplemented!("{FIRST_ORDER}")
    }

    fn avg_pool(x: F<Self>, avg: Avg) -> F<Self> {
        tracked!(AvgPoolStep, [x], B::avg_pool(x.clone(), avg), |y| {
            let _ = &y;
            (x, avg)
        })
    }

    fn avg_pool_dx(_: F<Self>, _: F<Self>, _: Avg) -> F<Self> {
        unimplemented!("{FIRST_ORDER}")
    }

    fn overlap_avg_pool(x: F<Self>, pool: Pool) -> F<Self> {
        tracked!(OverlapAvgPoolStep, [x], B::overlap_avg_pool(x.clone(), pool), |y| {
            let _ = &y;
            (x, pool)
        })
    }

    fn overlap_avg_pool_dx(_: F<Self>, _: F<Self>, _: Pool) -> F<Self> {
        unimplemented!("{FIRST_ORDER}")
    }

    fn subsample(x: F<Self>, weight: F<Self>, bias: F<Self>, avg: Avg, function: Function) -> F<Self> {
        tracked!(SubsampleStep, [x, weight, bias], B::subsample(x.clone(), weight.clone(), bias, avg, function), |y| {
            (x, weight, y.clone(), avg, function)
        })
    }

    fn cross_entropy(logits: F<Self>, labels: IntTensor<Self>) -> F<Self> {
        tracked!(CrossEntropyStep, [logits], B::cross_entropy(logits.clone(), labels.clone()), |y| {
            let _ = &y;
            (logits, labels)
        })
    }

    fn dropout(x: F<Self>, dropout: Dropout) -> F<Self> {
        tracked!(DropoutStep, [x], B::dropout(x, dropout), |y| {
            let _ = &y;
            dropout
        })
    }

    fn sgd(_: F<Self>, _: F<Self>, _: F<Self>, _: Sgd) -> (F<Self>, F<Self>) {
        unimplemented!("a step is taken off the graph")
    }
}
