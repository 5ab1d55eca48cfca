"""Stands for the package by which OpenVINO tells its makers that it is used: nobody may import it here."""

raise AssertionError("it is told that the library is used")
