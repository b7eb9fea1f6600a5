module seen

go 1.21
