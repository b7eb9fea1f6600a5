"""The docker engine: strangers' images in containers that are given as little as can be."""
