"""Admission policies in CEL: what kube-apiserver's ValidatingAdmissionPolicy plugin does.

Imported with the first policy, or with the first configuration of a webhook that has conditions.
"""
