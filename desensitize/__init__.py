"""Classify and grade columns, desensitize them, sample subjects, and make the views and inputs that tenants get.

Public surface: ``classify.suggest``, ``policy.plan``, ``pseudonym.ScenarioKeys``, ``sampling.SampleRate``, ``provision.provision``
and ``record.ProvisionRecord``.
"""
