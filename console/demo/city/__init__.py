"""A made-up city with the shape of a real one: skewed, linked, dirty in places, and with nobody's data in it."""

from console.demo.city.dirt import Fault
from console.demo.city.generate import City, Delivery, generate


__all__ = ["City", "Delivery", "Fault", "generate"]
