#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the layer lists of the classic image classifiers beside itself, after torchvision's
resnet.py and vgg.py: images of 224 x 224 x 3, 1000 classes, ReLU and dropout in place.

Kept for backward: the input of every convolution and linear layer, that of every batch norm, the
inputs and indices of max pooling (8 bytes an index), dropout's masks (a byte each); ReLU's output
is the next layer's input. All counts are of one image."""
import json
import os

CLASSES = 1000


class LayerList:
    def __init__(self):
        self.layers = []
        self.block = None

    def add(self, name, forward, backward, **members):
        layer = {"name": name}
        if self.block is not None:
            layer["block"] = self.block
        layer.update({k: v for k, v in members.items() if v})
        self.layers.append(dict(layer, forward=forward, backward=backward))

    def convolution(self, name, i, o, k, size_in, size_out, bias=False, shared=False, image=False):
        shape = {"images": 1, "in_channels": i, "out_channels": o, "kernel_size": k,
                 "in_size": size_in, "out_size": size_out}
        run = lambda op: {"op": op, "dimensions": shape, "per_sample": "images"}
        forward = [run("convolution_forward")]
        backward = [run("convolution_backward_weight")]
        if not image:  # an image has no gradient
            backward.insert(0, run("convolution_backward_input"))
        parameters = [{"name": name + ".weight", "shape": [o, i, k, k]}]
        if bias:
            parameters.append({"name": name + ".bias", "shape": [o]})
            forward.append(rows("add", size_out**2, o))
            backward.append(rows("column_sum", size_out**2, o))
        self.add(name, forward, backward, parameters=parameters,
                 saved_elements=0 if shared else i * size_in**2,
                 forward_temporary_elements=o * size_out**2,
                 backward_temporary_elements=i * size_in**2 + o * size_out**2)

    def batch_norm(self, name, channels, size):
        """Mean and variance are buffers, with a count of the batches seen."""
        elements = channels * size**2
        self.add(name, [rows("batchnorm_forward", size**2, channels)],
                 [rows("batchnorm_backward", size**2, channels)],
                 parameters=[{"name": name + ".weight", "shape": [channels]},
                             {"name": name + ".bias", "shape": [channels]}],
                 buffer_bytes=2 * 4 * channels + 8, saved_elements=elements,
                 forward_temporary_elements=elements, backward_temporary_elements=2 * elements)

    def relu(self, name, size, channels):
        self.add(name, [rows("relu_forward", size, channels)],
                 [rows("relu_backward", size, channels)],
                 backward_temporary_elements=size * channels)

    def residual(self, name, size, channels):
        """The sum; backward adds up the two branches' gradients."""
        self.add(name, [rows("add", size**2, channels)], [rows("add", size**2, channels)],
                 backward_temporary_elements=channels * size**2)

    def pool(self, kind, name, channels, size_in, size_out):
        shape = {"images": 1, "channels": channels, "in_size": size_in, "out_size": size_out}
        run = lambda op: [{"op": op, "dimensions": shape, "per_sample": "images"}]
        maximum = kind == "maxpool"
        self.add(name, run(kind + "_forward"), run(kind + "_backward"),
                 saved_elements=channels * size_in**2 if maximum else 0,
                 saved_bytes=8 * channels * size_out**2 if maximum else 0,
                 forward_temporary_elements=channels * size_out**2,
                 backward_temporary_elements=channels * size_in**2)

    def linear(self, name, i, o):
        # layout: TN forward, NN for the input's gradient, NT for the weight's
        gemm = lambda m, n, k, layout, scaled: {
            "op": "gemm", "per_sample": scaled,
            "dimensions": {"batch": 1, "m": m, "n": n, "k": k, "layout": layout}}
        self.add(name, [gemm(1, o, i, 0, "m")],
                 [gemm(1, i, o, 1, "m"), gemm(o, i, 1, 2, "k"), rows("column_sum", 1, o)],
                 parameters=[{"name": name + ".weight", "shape": [o, i]},
                             {"name": name + ".bias", "shape": [o]}],
                 saved_elements=i, forward_temporary_elements=o,
                 backward_temporary_elements=i + o)

    def dropout(self, name, width):
        self.add(name, [rows("dropout_forward", 1, width)], [rows("dropout_backward", 1, width)],
                 saved_bytes=width, backward_temporary_elements=width)

    def loss(self):
        """Cross entropy keeps the log-softmax."""
        self.block = None
        self.add("loss", [rows("softmax_forward", 1, CLASSES)],
                 [rows("softmax_backward", 1, CLASSES)], saved_elements=CLASSES,
                 backward_temporary_elements=2 * CLASSES)

    def write(self, name, description, block_inputs):
        mean = sum(block_inputs) // len(block_inputs)
        head = {"format": "zerosim-layers", "version": 1, "name": name,
                "description": description, "block_input_elements": mean}
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps(head, indent=1)[:-2] + ',\n "layers": [\n  ')
            file.write(",\n  ".join(json.dumps(layer) for layer in self.layers))
            file.write("\n ]\n}\n")


def rows(op, n, width):
    return {"op": op, "dimensions": {"rows": n, "width": width}, "per_sample": "rows"}


def residual_block(net, name, i, width, bottleneck, stride, size):
    """One block of a ResNet; gives its output's channels and side."""
    o, out = (4 * width if bottleneck else width), size // stride
    if bottleneck:
        steps = [(i, width, 1, size, size), (width, width, 3, size, out), (width, o, 1, out, out)]
    else:
        steps = [(i, width, 3, size, out), (width, o, 3, out, out)]
    for n, (a, b, k, size_in, size_out) in enumerate(steps, 1):
        net.convolution(f"{name}.conv{n}", a, b, k, size_in, size_out)
        net.batch_norm(f"{name}.bn{n}", b, size_out)
        if n < len(steps):
            net.relu(f"{name}.relu{n}", size_out**2, b)
    if stride > 1 or i != o:
        net.convolution(f"{name}.downsample.0", i, o, 1, size, out, shared=True)
        net.batch_norm(f"{name}.downsample.1", o, out)
    net.residual(f"{name}.residual", out, o)
    net.relu(f"{name}.relu", out**2, o)
    return o, out


def resnet(depth, counts, bottleneck):
    net = LayerList()
    net.convolution("conv1", 3, 64, 7, 224, 112, image=True)
    net.batch_norm("bn1", 64, 112)
    net.relu("relu", 112**2, 64)
    net.pool("maxpool", "maxpool", 64, 112, 56)
    channels, size, inputs = 64, 56, []
    for stage, count in enumerate(counts):
        for n in range(count):
            net.block = len(inputs)
            inputs.append(channels * size**2)
            channels, size = residual_block(net, f"layer{stage + 1}.{n}", channels, 64 << stage,
                                            bottleneck, 2 if stage > 0 and n == 0 else 1, size)
    net.block = None
    net.pool("avgpool", "avgpool", channels, size, 1)
    net.linear("fc", channels, CLASSES)
    net.loss()
    net.write(f"resnet{depth}",
              "ResNet of He et al. 2015 as torchvision has it; a block is a residual block.", inputs)


def vgg16():
    net = LayerList()
    channels, size, inputs, index = 3, 224, [], 0
    for block, (width, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        net.block = block
        inputs.append(channels * size**2)
        for _ in range(count):
            net.convolution(f"features.{index}", channels, width, 3, size, size, bias=True,
                            image=index == 0)
            net.relu(f"features.{index + 1}", size**2, width)
            channels, index = width, index + 2
        net.pool("maxpool", f"features.{index}", channels, size, size // 2)
        size, index = size // 2, index + 1
    net.block = None
    net.linear("classifier.0", channels * size**2, 4096)
    net.relu("classifier.1", 1, 4096)
    net.dropout("classifier.2", 4096)
    net.linear("classifier.3", 4096, 4096)
    net.relu("classifier.4", 1, 4096)
    net.dropout("classifier.5", 4096)
    net.linear("classifier.6", 4096, CLASSES)
    net.loss()
    net.write("vgg16", "VGG-16 of Simonyan and Zisserman 2014 as torchvision has it; a block "
                       "ends with a pooling.", inputs)


if __name__ == "__main__":
    resnet(18, [2, 2, 2, 2], False)
    resnet(50, [3, 4, 6, 3], True)
    resnet(101, [3, 4, 23, 3], True)
    resnet(152, [3, 8, 36, 3], True)
    vgg16()
