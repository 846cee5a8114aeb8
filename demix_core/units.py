"""Units of measurement: what a number in one unit is in another, '154 lb' in kg."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class _Unit:
    """A number in it is factor · number + shift in the first unit of its quantity."""

    quantity: str
    factor: float
    shift: float = 0.0


def _listed(quantity: str, units: dict[str, float]) -> dict[str, _Unit]:
    return {name: _Unit(quantity, factor) for names, factor in units.items() for name in names.split()}


UNITS = {
    **_listed("mass", {
        "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes": 1.0,
        "g gr gram grams gramme grammes": 1e-3,
        "mg milligram milligrams": 1e-6,
        "t tonne tonnes": 1e3,
        "lb lbs pound pounds": 0.45359237,
        "oz ounce ounces": 0.028349523125,
        "st stone stones": 6.35029318,
    }),
    **_listed("length", {
        "m meter meters metre metres": 1.0,
        "km kilometer kilometers kilometre kilometres": 1e3,
        "cm centimeter centimeters centimetre centimetres": 1e-2,
        "mm millimeter millimeters millimetre millimetres": 1e-3,
        "in inch inches": 0.0254,
        "ft foot feet": 0.3048,
        "yd yard yards": 0.9144,
        "mi mile miles": 1609.344,
    }),
    **_listed("volume", {
        "l liter liters litre litres": 1.0,
        "dl": 1e-1,
        "cl": 1e-2,
        "ml milliliter milliliters millilitre millilitres": 1e-3,
        "gal gallon gallons": 3.785411784,
        "qt quart quarts": 0.946352946,
        "pt pint pints": 0.473176473,
        "floz": 0.0295735295625,
        "m³ cum": 1e3,
        "ft³ cuft cufeet cufoot": 28.316846592,
    }),
    **_listed("time", {
        "s sec secs second seconds": 1.0,
        "ms millisecond milliseconds": 1e-3,
        "min mins minute minutes": 60.0,
        "h hr hrs hour hours": 3600.0,
        "d day days": 86400.0,
        "wk wks week weeks": 604800.0,
    }),
    **_listed("speed", {"m/s mps": 1.0, "km/h kmh kph": 1 / 3.6, "mph mi/h": 0.44704, "kn knot knots": 1852 / 3600}),
    **_listed("energy", {"j": 1.0, "kj": 1e3, "cal": 4.184, "kcal": 4184.0, "wh": 3600.0, "kwh": 3.6e6}),
    **_listed("area", {
        "m² sqm sqmeter sqmeters sqmetre sqmetres": 1.0,
        "km² sqkm": 1e6,
        "ha hectare hectares": 1e4,
        "ft² sqft sqfeet sqfoot": 0.09290304,
        "sqyd sqyards": 0.83612736,
        "sqmi sqmiles": 2_589_988.110336,
        "acre acres": 4046.8564224,
    }),
    "c": _Unit("temperature", 1.0), "°c": _Unit("temperature", 1.0),
    "f": _Unit("temperature", 5 / 9, -160 / 9), "°f": _Unit("temperature", 5 / 9, -160 / 9),
    "k": _Unit("temperature", 1.0, -273.15), "°k": _Unit("temperature", 1.0, -273.15),
}  # fmt: skip
"""By name, in small letters. Gallons, quarts and pints are American ones; months and years have no fixed length."""


POWERS = (("square", "sq"), ("cubic", "cu"), ("sq", "sq"), ("cu", "cu"), ("fl", "fl"))
"""What stands before the name of a unit, and how it is listed."""


def named(sign: str) -> str:
    """The name under which a unit is listed.

    >>> named(" Lbs."), named("Sq. Ft."), named("square feet")
    ('lbs', 'sqft', 'sqfeet')
    """
    name = sign.strip().rstrip(".").casefold()
    for power, listed in POWERS:
        rest = name.removeprefix(power)
        if rest != name and rest[0] in ". ":
            return listed + rest.lstrip(". ")
    return name


def convert(number: float, unit: str, into: str) -> float | None:
    """The number in the unit `into`; None where either is unknown or they measure different things.

    >>> round(convert(154, "lb", "kg"), 2), convert(68, "°F", "°C"), convert(3, "kg", "km")
    (69.85, 20.0, None)
    """
    one, other = UNITS.get(named(unit)), UNITS.get(named(into))
    if one is None or other is None or one.quantity != other.quantity:
        return None
    return round((one.factor * number + one.shift - other.shift) / other.factor, 12)
