"""The base of every module with tensors of its own: their kinds, and their initial values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, ClassVar, cast

import keras
from keras import KerasTensor as Tensor  # of any backend, in annotations

from danet_common.config import DANetConfig
from danet_common.config.former_arguments import raise_if_renamed
from danet_common.config.layer_names import DEFAULT_LAYERS
from danet_common.config.layer_set import as_written
from danet_common.config.tensors import Kind
from danet_common.numerics.initialisation_scope import current_scope, skips_initialisation
from danet_common.numerics.taps import resolve_request
from danet_tf.parameters import access, fresh_seed, named_modules


class Module(keras.layers.Layer):
    """A module with tensors of its own. It computes in the dtype of its input.

    tensor_kinds  of its own tensors; modules within hold the others
    part          of the network, as the start of its tensors' names: it decides their initial distribution
    """

    tensor_kinds: ClassVar[tuple[Kind, ...]] = ()
    arguments: dict[str, Any]  # of the constructor, by name

    def __new__(cls, *arguments: Any, **options: Any) -> Module:
        module: Module = super().__new__(cls, *arguments, **options)
        bound = inspect.signature(cls.__init__).bind(module, *arguments, **options)
        bound.apply_defaults()
        _, *named = bound.arguments.items()
        object.__setattr__(module, "arguments", dict(named))  # Keras would wrap and track what they hold
        return module

    def __init__(self) -> None:
        layers, dtype = self.arguments.get("layers"), self.arguments.get("dtype")
        super().__init__(dtype=dtype if layers is None else layers.precision.name, autocast=False)
        self.part = current_scope()
        self.built = True  # all shapes are known

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        from danet_tf.accelerated.layer_sets import describe_layers  # which are made of modules themselves

        config = dict(self.arguments)
        if "config" in config:
            config["config"] = config["config"].to_dict()
        if "layers" in config:
            config["layers"] = describe_layers(config["layers"])
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Module:
        from danet_tf.accelerated.layer_sets import described_layers

        arguments = dict(config)
        if "config" in arguments:
            arguments["config"] = DANetConfig.from_dict(arguments["config"])
        if "layers" in arguments:
            arguments["layers"] = described_layers(arguments["layers"])
        return cls(**arguments)

    def reset_parameters(self) -> None:
        """Draw its own tensors anew, by the distribution that they start with in the network.

        Within `danet_common.numerics.initialisation_scope.skip_initialisation` kernels and biases become 0.
        """
        if self.tensor_kinds and not skips_initialisation():  # kernels and biases are zeros already
            access.draw(access.own_leaves(self, self.part), fresh_seed())


def takes_keras_options(constructor: Callable[..., None]) -> Callable[..., None]:
    """Decorate the constructor of a network: it takes Keras's `name` and `trainable` too."""

    @functools.wraps(constructor)
    def construct(
        network: Network, *arguments: Any, name: str | None = None, trainable: bool = True, **options: Any
    ) -> None:
        object.__setattr__(network, "name_given", name)  # before Keras tracks attributes
        constructor(network, *arguments, **options)
        network.trainable = trainable

    return construct


class Network(keras.Model):
    """The methods that Keras calls on a model: to build it, to write and read it, and to find its shapes."""

    name_given: str | None = None

    def __init__(self) -> None:
        super().__init__(name=self.name_given, autocast=False)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.dtype_policy = keras.DTypePolicy(self.layer_set.precision.name)
        self.built = True

    def compute_output_spec(
        self, x: Tensor, outputs: Collection[str] | None = None, taps: Collection[str] = (), **options: Any
    ) -> dict[str, Tensor]:
        """Shapes and dtypes of the logits for an `Input` of any size, which Keras cannot find out on JAX."""
        raise_if_renamed(options)
        if taps:
            return super().compute_output_spec(x, outputs=outputs, taps=taps, **options)
        names, _ = resolve_request(self.config, outputs, taps)
        shape = (*x.shape[:3], self.config.num_classes)
        return {name: Tensor(shape, dtype=self.layer_set.precision.accumulate_dtype) for name in names}

    def summary(self, *arguments: Any, **options: Any) -> None:
        """Print the parts of the network, with shapes, which Keras takes from symbolic calls."""
        layer1, layer3, layer4 = self.backbone(keras.Input((None, None, self.config.in_channels)))
        self.head(layer1, layer4)
        if self.config.auxiliary != "none":
            self.auxiliary(layer3, layer4)
        super().summary(*arguments, **options)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options: Any,
    ) -> None:
        """Export the network, as Keras does, by default for pictures of any size, before its first call too.

        LiteRT knows no loops over sizes that only a picture has, so its program has the whole map of attention.
        """
        network: Any = self
        if format == "litert":
            layers, make = replace(self.layer_set, attention=as_written, remat=as_written), cast(Any, type(self))
            network = make(self.config, seed=None, layers=layers)
            network.set_weights(self.get_weights())
        if input_signature is None:
            shape = (None, None, None, self.config.in_channels)
            input_signature = [keras.InputSpec(shape=shape, dtype=self.input_dtype)]
        if keras.backend.backend() == "jax":  # which has no gradient of a convolution at symbolic sizes
            options.setdefault("jax2tf_kwargs", {"with_gradient": False})
        keras.Model.export(network, filepath, format, verbose, input_signature, **options)

    def get_config(self) -> dict[str, Any]:
        from danet_tf.accelerated.layer_sets import describe_layers

        layers = [(path, layer) for path, layer in named_modules(self) if isinstance(layer, keras.layers.Layer)]
        frozen = [".".join(path) for path, layer in layers if not layer.trainable]
        described, dtype = describe_layers(self.layer_set), self.layer_set.precision.name
        config = {"config": self.config.to_dict(), "dtype": dtype, "layers": described, "frozen": frozen}
        return {**config, "name": self.name}

    @classmethod
    def from_config(cls: Any, config: dict[str, Any]) -> Network:
        from danet_tf.accelerated.layer_sets import described_layers

        former = "cpu_inference" if config.get("folded") or config.get("winograd") else DEFAULT_LAYERS  # of older files
        layers = described_layers(config["layers"]) if "layers" in config else former
        network, dtype = DANetConfig.from_dict(config["config"]), config["dtype"]
        model: Network = cls(network, dtype=dtype, seed=fresh_seed(), layers=layers)
        model.name = config.get("name", model.name)
        for path, layer in named_modules(model):
            if isinstance(layer, keras.layers.Layer) and ".".join(path) in config.get("frozen", ()):
                layer.trainable = False
        return model
