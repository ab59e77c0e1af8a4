"""Webhooks that the API server calls: conversion of devices, and admission of KubeEdge's kinds."""
