//! The operators on Flex: our own kernels, with `std`.

#[cfg(not(feature = "std"))]
impl crate::ops::Kernels for burn::backend::Flex {}

#[cfg(feature = "std")]
mod products;

#[cfg(feature = "std")]
mod kernels {
    use super::products;
    use crate::choice::Dropout;
    use crate::ops::{Avg, Conv, Function, Kernels, Lrn, Pool, Sgd};
    use crate::{compose, cpu};
    use burn::backend::flex::{FlexTensor, Layout};
    use burn::backend::{Flex, TensorMetadata};
    use burn::tensor::{Bytes, DType, Shape};
    use cpu::pool::Windows;

    /// Whether our kernels know the tensors' type; others run Burn's operators.
    pub(super) fn known<const N: usize>(tensors: [&FlexTensor; N]) -> bool {
        tensors.iter().all(|t| t.dtype() == DType::F32)
    }

    /// The tensor with its values in the order of its shape.
    pub(super) fn ordered(tensor: FlexTensor) -> FlexTensor {
        if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
    }

    /// The values of an ordered tensor.
    pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
        tensor.as_slice().expect("f32, in order")
    }

    /// A tensor of `shape` that `write` fills.
    pub(super) fn made(shape: Shape, write: impl FnOnce(&mut [f32])) -> FlexTensor {
        let len = shape.num_elements();
        let mut values = Vec::with_capacity(len);
        // SAFETY: kernels write all of their output and read none of it, so zeros here would be a pass over memory for
        // nothing. `f32` has no invalid values. Tests give the kernels NaN to overwrite.
        #[allow(clippy::uninit_vec)]
        unsafe {
            values.set_len(len);
        }
        write(&mut values);
        FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
    }

    /// All of a tensor's buffer, if the tensor is the only one that has it.
    fn owned(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
        let whole = tensor.is_contiguous() && tensor.bytes().len() == tensor.shape().num_elements() * size_of::<f32>();
        if whole { tensor.try_storage_mut() } else { None }
    }

    /// Windows over the maps of `[N, C, H, W]`, and the shape of what they make.
    fn windows(x: &FlexTensor, size: usize, stride: usize, ceil: bool) -> (Windows, Shape) {
        let [n, c, h, w] = x.shape().dims();
        let windows = Windows::new([h, w], size, stride, ceil);
        let [oh, ow] = windows.output;
        (windows, Shape::from([n, c, oh, ow]))
    }

    /// The labels `[N]`, if their type is one that Burn makes them of.
    fn labels(labels: &FlexTensor) -> Option<impl Fn(usize) -> usize + Send + Sync> {
        let labels: Vec<usize> = match labels.dtype() {
            DType::I64 => labels.as_slice::<i64>()?.iter().map(|l| *l as usize).collect(),
            DType::I32 => labels.as_slice::<i32>()?.iter().map(|l| *l as usize).collect(),
            _ => return None,
        };
        Some(move |i: usize| labels[i])
    }

    impl Kernels for Flex {
        fn apply(x: FlexTensor, function: Function) -> FlexTensor {
            if !known([&x]) {
                return compose::apply::<Self>(x, function);
            }
            let mut x = ordered(x);
            if let Some(values) = owned(&mut x) {
                cpu::map::apply_in_place(values, function);
                return x;
            }
            made(x.shape(), |y| cpu::map::apply(values(&x), function, y))
        }

        fn through(y: FlexTensor, dy: FlexTensor, function: Function) -> FlexTensor {
            if !known([&y, &dy]) {
                return compose::through::<Self>(y, dy, function);
            }
            if function == Function::Identity {
                return dy;
            }
            let (y, mut dy) = (ordered(y), ordered(dy));
            if let Some(dy_values) = owned(&mut dy) {
                cpu::map::through_in_place(values(&y), dy_values, function);
                return dy;
            }
            made(dy.shape(), |dx| cpu::map::through(values(&y), values(&dy), function, dx))
        }

        fn sum_maps(dz: FlexTensor) -> FlexTensor {
            if !known([&dz]) {
                return compose::sum_maps::<Self>(dz);
            }
            let (shape, dz) = (dz.shape(), ordered(dz));
            let (n, c) = (shape[0], shape[1]);
            let places = (2..shape.num_dims()).map(|d| shape[d]).product();
            made(Shape::from([c]), |out| cpu::map::sum_maps(values(&dz), [n, c, places], out))
        }

        fn conv(
            x: FlexTensor,
            weight: FlexTensor,
            bias: FlexTensor,
            conv: Conv,
            function: Function,
            constant: bool,
        ) -> FlexTensor {
            products::conv(x, weight, bias, conv, function, constant)
        }

        fn conv_dx(x: FlexTensor, weight: FlexTensor, dz: FlexTensor, conv: Conv) -> FlexTensor {
            products::conv_dx(x, weight, dz, conv)
        }

        fn conv_dw(x: FlexTensor, weight: FlexTensor, dz: FlexTensor, conv: Conv) -> FlexTensor {
            products::conv_dw(x, weight, dz, conv)
        }

        fn fully_connected(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, function: Function) -> FlexTensor {
            products::fully_connected(x, weight, bias, function)
        }

        fn fully_connected_dx(weight: FlexTensor, dz: FlexTensor) -> FlexTensor {
            products::fully_connected_dx(weight, dz)
        }

        fn fully_connected_dw(x: FlexTensor, dz: FlexTensor) -> FlexTensor {
            products::fully_connected_dw(x, dz)
        }

        fn lrn(x: FlexTensor, lrn: Lrn) -> FlexTensor {
            if !known([&x]) {
                return compose::lrn::<Self>(x, lrn);
            }
            let ([n, c, h, w], x) = (x.shape().dims(), ordered(x));
            made(x.shape(), |y| cpu::lrn::forward(values(&x), [n, c, h * w], lrn, y))
        }

        fn lrn_dx(x: FlexTensor, y: FlexTensor, dy: FlexTensor, lrn: Lrn) -> FlexTensor {
            if !known([&x, &dy]) {
                return compose::lrn_dx::<Self>(x, y, dy, lrn);
            }
            let ([n, c, h, w], x, dy) = (x.shape().dims(), ordered(x), ordered(dy));
            made(x.shape(), |dx| cpu::lrn::backward(values(&x), values(&dy), [n, c, h * w], lrn, dx))
        }

        fn max_pool(x: FlexTensor, pool: Pool) -> FlexTensor {
            if !known([&x]) {
                return compose::max_pool::<Self>(x, pool);
            }
            let x = ordered(x);
            let (windows, shape) = windows(&x, pool.size, pool.stride, pool.ceil);
            made(shape, |y| cpu::pool::max(values(&x), windows, y))
        }

        fn max_pool_dx(x: FlexTensor, y: FlexTensor, dy: FlexTensor, pool: Pool) -> FlexTensor {
            if !known([&x, &y, &dy]) {
                return compose::max_pool_dx::<Self>(x, y, dy, pool);
            }
            let (x, y, dy) = (ordered(x), ordered(y), ordered(dy));
            let (windows, _) = windows(&x, pool.size, pool.stride, pool.ceil);
            made(x.shape(), |dx| cpu::pool::max_dx(values(&x), values(&y), values(&dy), windows, dx))
        }

        fn avg_pool(x: FlexTensor, avg: Avg) -> FlexTensor {
            if !known([&x]) {
                return compose::avg_pool::<Self>(x, avg);
            }
            let x = ordered(x);
            let (windows, shape) = windows(&x, avg.size, avg.size, false);
            made(shape, |y| cpu::pool::mean(values(&x), windows, y))
        }

        fn avg_pool_dx(x: FlexTensor, dy: FlexTensor, avg: Avg) -> FlexTensor {
            if !known([&x, &dy]) {
                return compose::avg_pool_dx::<Self>(x, dy, avg);
            }
            let ((windows, _), dy) = (windows(&x, avg.size, avg.size, false), ordered(dy));
            made(x.shape(), |dx| cpu::pool::mean_dx(values(&dy), windows, dx))
        }

        fn overlap_avg_pool(x: FlexTensor, pool: Pool) -> FlexTensor {
            if !known([&x]) {
                return compose::overlap_avg_pool::<Self>(x, pool);
            }
            let x = ordered(x);
            let (windows, shape) = windows(&x, pool.size, pool.stride, pool.ceil);
            made(shape, |y| cpu::pool::mean(values(&x), windows, y))
        }

        fn overlap_avg_pool_dx(x: FlexTensor, dy: FlexTensor, pool: Pool) -> FlexTensor {
            if !known([&x, &dy]) {
                return compose::overlap_avg_pool_dx::<Self>(x, dy, pool);
            }
            let ((windows, _), dy) = (windows(&x, pool.size, pool.stride, pool.ceil), ordered(dy));
            made(x.shape(), |dx| cpu::pool::mean_dx(values(&dy), windows, dx))
        }

        fn subsample(
            x: FlexTensor,
            coefficient: FlexTensor,
            bias: FlexTensor,
            avg: Avg,
            function: Function,
        ) -> FlexTensor {
            if !known([&x, &coefficient, &bias]) {
                return compose::subsample::<Self>(x, coefficient, bias, avg, function);
            }
            let (x, coefficient, bias) = (ordered(x), ordered(coefficient), ordered(bias));
            let (windows, shape) = windows(&x, avg.size, avg.size, false);
            let (x, coefficient, bias) = (values(&x), values(&coefficient), values(&bias));
            made(shape, |y| cpu::subsample::forward(x, coefficient, bias, windows, function, y))
        }

        fn subsample_dx(x: FlexTensor, coefficient: FlexTensor, dz: FlexTensor, avg: Avg) -> FlexTensor {
            if !known([&x, &coefficient, &dz]) {
                return compose::subsample_dx::<Self>(x, coefficient, dz, avg);
            }
            let ((windows, _), coefficient, dz) =
                (windows(&x, avg.size, avg.size, false), ordered(coefficient), ordered(dz));
            made(x.shape(), |dx| cpu::subsample::dx(values(&dz), values(&coefficient), windows, dx))
        }

        fn subsample_dw(x: FlexTensor, dz: FlexTensor, avg: Avg) -> FlexTensor {
            if !known([&x, &dz]) {
                return compose::subsample_dw::<Self>(x, dz, avg);
            }
            let ((windows, shape), x, dz) = (windows(&x, avg.size, avg.size, false), ordered(x), ordered(dz));
            made(Shape::from([shape[1]]), |out| cpu::subsample::dw(values(&x), values(&dz), windows, out))
        }

        fn cross_entropy(logits: FlexTensor, truth: FlexTensor) -> FlexTensor {
            let (logits, truth) = (ordered(logits), ordered(truth));
            let Some(label) = labels(&truth).filter(|_| known([&logits])) else {
                return compose::cross_entropy::<Self>(logits, truth);
            };
            let [_, classes] = logits.shape().dims();
            made(Shape::from([1]), |out| out[0] = cpu::loss::cross_entropy(values(&logits), classes, label))
        }

        fn cross_entropy_dx(logits: FlexTensor, truth: FlexTensor, dy: FlexTensor) -> FlexTensor {
            let (logits, truth, dy) = (ordered(logits), ordered(truth), ordered(dy));
            let Some(label) = labels(&truth).filter(|_| known([&logits, &dy])) else {
                return compose::cross_entropy_dx::<Self>(logits, truth, dy);
            };
            let [_, classes] = logits.shape().dims();
            let share = values(&dy)[0];
            made(logits.shape(), |dx| cpu::loss::cross_entropy_dx(values(&logits), classes, label, share, dx))
        }

        fn dropout(x: FlexTensor, dropout: Dropout) -> FlexTensor {
            if !known([&x]) {
                return compose::dropout::<Self>(x, dropout);
            }
            let mut x = ordered(x);
            if let Some(values) = owned(&mut x) {
                cpu::dropout::apply_in_place(values, dropout);
                return x;
            }
            made(x.shape(), |y| cpu::dropout::apply(values(&x), dropout, y))
        }

        fn sgd(weight: FlexTensor, velocity: FlexTensor, gradient: FlexTensor, step: Sgd) -> (FlexTensor, FlexTensor) {
            if !known([&weight, &velocity, &gradient]) {
                return compose::sgd::<Self>(weight, velocity, gradient, step);
            }
            let gradient = ordered(gradient);
            let (mut weight, mut velocity) = (own(weight), own(velocity));
            let (w, v) = (owned(&mut weight).expect("made own"), owned(&mut velocity).expect("made own"));
            cpu::sgd::step(w, v, values(&gradient), step);
            (weight, velocity)
        }
    }

    /// The tensor with a buffer of its own: its present one if nobody else has it, else a copy.
    fn own(tensor: FlexTensor) -> FlexTensor {
        let mut tensor = ordered(tensor);
        if owned(&mut tensor).is_some() {
            return tensor;
        }
        made(tensor.shape(), |copy| copy.copy_from_slice(values(&tensor)))
    }
}
