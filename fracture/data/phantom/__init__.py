"""Synthetic radiographs with known boxes, and trees of them in the native layout of every source, traps included.

They are for tests and demonstrations. Nothing measured on them says anything about patients.
"""

from fracture.data.phantom.anatomy import Build, draw_build
from fracture.data.phantom.case import Wish
from fracture.data.phantom.draw import VIEWS, Phantom, draw_examination, draw_film, draw_phantom
from fracture.data.phantom.extras import HARDWARE
from fracture.data.phantom.fracatlas import Traps, write_fracatlas
from fracture.data.phantom.fractures import KINDS, PATTERNS, Fracture
from fracture.data.phantom.grazpedwri import GrazpedwriTraps, write_grazpedwri
from fracture.data.phantom.mura import MuraTraps, write_mura
from fracture.data.phantom.own import OwnTraps, write_own_coco, write_own_voc
from fracture.data.phantom.regions import REGIONS
from fracture.data.phantom.roboflow import HipTraps, HumerusTraps, write_hip, write_humerus
from fracture.data.phantom.trees import FOLDERS, AllTraps, write_all

__all__ = [
    "FOLDERS",
    "HARDWARE",
    "KINDS",
    "PATTERNS",
    "REGIONS",
    "VIEWS",
    "AllTraps",
    "Build",
    "Fracture",
    "GrazpedwriTraps",
    "HipTraps",
    "HumerusTraps",
    "MuraTraps",
    "OwnTraps",
    "Phantom",
    "Traps",
    "Wish",
    "draw_build",
    "draw_examination",
    "draw_film",
    "draw_phantom",
    "write_all",
    "write_fracatlas",
    "write_grazpedwri",
    "write_hip",
    "write_humerus",
    "write_mura",
    "write_own_coco",
    "write_own_voc",
]
