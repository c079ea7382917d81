import colour
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstfix.color.chromatic import D50_XYZ, adaptation, temperature_of, white_of, xy_to_xyz, xyz_to_xy

# CIE 015:2018: chromaticities and correlated colour temperatures of illuminants.
KNOWN = [
    ((0.44758, 0.40745), 2856),  # A
    ((0.34567, 0.35850), 5003),  # D50
    ((0.33242, 0.34743), 5503),  # D55
    ((0.31272, 0.32903), 6504),  # D65
    ((0.29902, 0.31485), 7504),  # D75
    ((0.37208, 0.37529), 4230),  # F2
]


@pytest.mark.parametrize(("xy", "kelvin"), KNOWN)
def test_temperature_of_when_given_cie_illuminants_then_it_matches_published_values(xy, kelvin):
    assert temperature_of(xy)[0] == pytest.approx(kelvin, rel=0.005)


def test_temperature_of_when_off_the_locus_then_it_agrees_with_an_independent_method():
    for kelvin in (2200, 3500, 5200, 8000, 10000):
        for duv in (-0.01, 0.0, 0.012):
            xy = colour.UCS_uv_to_xy(colour.temperature.CCT_to_uv_Ohno2013([kelvin, duv]))
            found, distance = temperature_of(xy)
            assert found == pytest.approx(kelvin, rel=0.01)
            assert distance == pytest.approx(duv, abs=3e-4)


@given(st.floats(2000, 15000), st.floats(-0.015, 0.015))
def test_white_of_when_inverted_then_temperature_and_tint_are_restored(kelvin, duv):
    found, distance = temperature_of(white_of(kelvin, duv))
    assert found == pytest.approx(kelvin, rel=2e-3)
    assert distance == pytest.approx(duv, abs=1e-5)


def test_adaptation_when_d65_to_d50_then_it_is_the_published_bradford_matrix():
    # Lindbloom's table for D65 (0.95047, 1, 1.08883) to D50 (0.96422, 1, 0.82521).
    expected = [
        [1.0478112, 0.0228866, -0.0501270],
        [0.0295424, 0.9904844, -0.0170491],
        [-0.0092345, 0.0150436, 0.7521316],
    ]
    found = adaptation([0.95047, 1.0, 1.08883], [0.96422, 1.0, 0.82521])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_adaptation_when_given_the_source_white_then_the_result_is_the_target_white():
    source = xy_to_xyz([0.41, 0.39])
    np.testing.assert_allclose(adaptation(source, D50_XYZ) @ source, D50_XYZ, atol=1e-12)


def test_xyz_to_xy_when_xyz_is_zero_then_the_result_is_d50():
    np.testing.assert_allclose(xyz_to_xy([0.0, 0.0, 0.0]), xyz_to_xy(D50_XYZ))
