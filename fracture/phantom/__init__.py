"""Synthetic radiographs with known boxes, and trees of them in the native layout of every source, traps included.

They are for tests and demonstrations. Nothing measured on them says anything about patients.
"""

from fracture.phantom.anatomy import Build, draw_build
from fracture.phantom.case import FilmSpec
from fracture.phantom.draw import VIEWS, Phantom, draw_examination, draw_film, draw_phantom
from fracture.phantom.extras import HARDWARE
from fracture.phantom.fracatlas import Traps, write_fracatlas
from fracture.phantom.fractures import KINDS, PATTERNS, Fracture
from fracture.phantom.grazpedwri import GrazpedwriTraps, write_grazpedwri
from fracture.phantom.mura import MuraTraps, write_mura
from fracture.phantom.own import OwnTraps, write_own_coco, write_own_voc
from fracture.phantom.regions import REGIONS
from fracture.phantom.roboflow import HipTraps, HumerusTraps, write_hip, write_humerus
from fracture.phantom.trees import FOLDERS, AllTraps, write_all

__all__ = [
    "FOLDERS",
    "HARDWARE",
    "KINDS",
    "PATTERNS",
    "REGIONS",
    "VIEWS",
    "AllTraps",
    "Build",
    "FilmSpec",
    "Fracture",
    "GrazpedwriTraps",
    "HipTraps",
    "HumerusTraps",
    "MuraTraps",
    "OwnTraps",
    "Phantom",
    "Traps",
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
