"""How many images a second torchvision with PIL makes for training, on one core: load.py SIDE FOLDER, as the example `load`.
Large images get AlexNet's light, too: the colours' principal components times normal numbers (Krizhevsky 2012)."""

import sys
import time

import torch
from torchvision import datasets, transforms

side, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
if side < 100:
    steps = [transforms.RandomCrop(side, padding=4)]
else:
    steps = [transforms.Resize(256), transforms.CenterCrop(256), transforms.RandomCrop(side)]
# Eigenvalues and eigenvectors of ImageNet's colours, of values from 0 to 1, as in Torch's imagenet-multiGPU.
values = torch.tensor([0.2175, 0.0188, 0.0045])
vectors = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def light(image):
    return image + (vectors * (0.1 * torch.randn(3) * values)).sum(1).view(3, 1, 1)


mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
steps += [transforms.RandomHorizontalFlip(), transforms.ToTensor()]
steps += [transforms.Lambda(light)] if side >= 100 else []
steps += [transforms.Normalize(mean, std)]
images = datasets.ImageFolder(folder, transforms.Compose(steps))
loader = torch.utils.data.DataLoader(images, batch_size=128, shuffle=True, num_workers=0)
for _ in range(4):
    start, n = time.process_time(), 0
    for batch, _ in loader:
        n += len(batch)
    seconds = time.process_time() - start
    print(f"{n} images in {seconds:.2f} s of the processor: {n / seconds:.0f} images/s", flush=True)
