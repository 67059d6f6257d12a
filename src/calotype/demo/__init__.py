"""The whole job on real photographs: solar cells sorted into functional and defective ones."""

from calotype.demo.steps import PUBLISHED_ACCURACY, Demo, DemoResult, Step, link_cells

__all__ = ["PUBLISHED_ACCURACY", "Demo", "DemoResult", "Step", "link_cells"]
