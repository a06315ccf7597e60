"""The rooms of the provider contract: each file asserts one promise; `provider_contract.py` joins them."""

from __future__ import annotations
