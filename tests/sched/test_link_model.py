"""Tickets, attempts, leases and resumes under everything that can happen to links and workers."""

from __future__ import annotations

from link_model import PROFILE, LinkModel

TestLinkModel = LinkModel.TestCase
TestLinkModel.settings = PROFILE
