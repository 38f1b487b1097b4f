"""From fine to coarse: the levels a quasi-identifier can take, and how values of grade 4 are coarsened (P2).

The first level is the floor of the rules: no view ever shows an exact birth date or an address. Dropping is always the last level
and is added by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping

from desensitize.entities import Entity
from desensitize.treatments import (
    DateUnit,
    GeneraliseCategory,
    GeneraliseNumber,
    GeneraliseRegion,
    Keep,
    Prefix,
    RoundSignificant,
    TruncateDate,
    ValueTreatment,
    YearBand,
)
from sandbox.columns import Column, Family


Levels = tuple[ValueTreatment, ...]

_MAJORITY = GeneraliseCategory((("汉族", "汉族"), ("汉", "汉族")), "少数民族")

_BY_FAMILY: Mapping[Family, Levels] = {
    Family.TEXT: (Keep(),),
    Family.BOOLEAN: (Keep(),),
    Family.WHOLE: (Keep(), GeneraliseNumber(5), GeneraliseNumber(10), GeneraliseNumber(100)),
    Family.NUMBER: (RoundSignificant(2), RoundSignificant(1)),
    Family.DATE: (YearBand(1), YearBand(5), YearBand(10)),
}

_WRITTEN_DATE: Levels = (YearBand(1, written=True), YearBand(5, written=True), YearBand(10, written=True))
_REGION: Levels = (GeneraliseRegion(6), GeneraliseRegion(4), GeneraliseRegion(2))
_AGE: Levels = (GeneraliseNumber(5), GeneraliseNumber(10), GeneraliseNumber(20))

_BY_ENTITY: Mapping[tuple[Entity, Family], Levels] = {
    (Entity.BIRTH_DATE, Family.TEXT): _WRITTEN_DATE,
    (Entity.BIRTH_DATE, Family.WHOLE): _WRITTEN_DATE,
    (Entity.AGE, Family.WHOLE): _AGE,
    (Entity.AGE, Family.NUMBER): _AGE,
    (Entity.REGION, Family.TEXT): _REGION,
    (Entity.REGION, Family.WHOLE): _REGION,
    (Entity.POSTCODE, Family.TEXT): (Prefix(4), Prefix(2)),
    (Entity.ETHNICITY, Family.TEXT): (Keep(), _MAJORITY),
    (Entity.DIAGNOSIS, Family.TEXT): (Prefix(3), Prefix(1)),
    (Entity.ADDRESS, Family.TEXT): (),
    (Entity.COORDINATE, Family.TEXT): (),
    (Entity.COORDINATE, Family.NUMBER): (GeneraliseNumber(2), GeneraliseNumber(10)),
}


def levels_for(column: Column, entity: Entity) -> Levels:
    """The levels of a quasi-identifier, without the last one that drops it; empty means that it is always dropped."""
    return _BY_ENTITY.get((entity, column.family), _BY_FAMILY[column.family])


_COARSE: Mapping[Family, ValueTreatment] = {
    Family.TEXT: Keep(),
    Family.BOOLEAN: Keep(),
    Family.WHOLE: RoundSignificant(2),
    Family.NUMBER: RoundSignificant(2),
    Family.DATE: TruncateDate(DateUnit.MONTH),
}


def coarsen(column: Column, entity: Entity) -> ValueTreatment:
    """The treatment of a value of grade 4 that is not an identifier."""
    if entity is Entity.DIAGNOSIS and column.family is Family.TEXT:
        return Prefix(3)
    return _COARSE[column.family]
